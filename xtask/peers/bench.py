"""The work of `cargo xtask bench` in plain PyTorch, for `cargo xtask bench --peer`.

Usage: bench.py WORK '{"image_size": 448, ...}' (WORK as `Work` in xtask/src/bench/work.rs, the sizes as
`Sizes` in peer.rs). Every line on standard input, `wall` or `processor`, asks for the work once by that
clock; the answer is one line of JSON with the seconds of each part, the peak memory, and PyTorch's version.

ceiling   a large product and a large copy
segment   one full pass: image and one expression to one mask, under inference_mode
train     losses, gradients and AdamW for adapters, mask decoder and final norm; one batch
load      a file in bf16, by safetensors, to the first mask; the modules are made without weights
generate  some tokens by arg-max, with keys and values kept

Attention is SDPA, and AdamW the fused one. Weights are drawn.
"""

import json
import resource
import sys
import tempfile
import time

import torch
import torch.nn.functional as F
from torch import nn

TIMES = 4  # as in xtask/src/bench/ceiling.rs
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


class VisionBlock(nn.Module):
    def __init__(self, width, mlp, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, mlp), nn.Linear(mlp, width)
        self.ls1, self.ls2 = nn.Parameter(torch.ones(width)), nn.Parameter(torch.ones(width))
        self.heads = heads

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, c)
        x = x + self.proj(attended) * self.ls1
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x)))) * self.ls2


class Adapted(nn.Module):
    """A frozen linear layer with a low-rank adapter in f32."""

    def __init__(self, linear, rank, scale, dropout):
        super().__init__()
        self.linear, self.scale = linear, scale
        self.a = nn.Parameter(torch.randn(rank, linear.in_features) / linear.in_features**0.5)
        self.b = nn.Parameter(torch.zeros(linear.out_features, rank))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        low_rank = F.linear(self.dropout(x), self.a.to(x.dtype))
        return self.linear(x) + F.linear(low_rank, self.b.to(x.dtype)) * self.scale


class DecoderLayer(nn.Module):
    def __init__(self, width, mlp, heads, kv_heads, adapted):
        super().__init__()
        self.head = width // heads
        self.group = heads // kv_heads
        self.norm1, self.norm2 = nn.RMSNorm(width, 1e-6), nn.RMSNorm(width, 1e-6)
        linear = lambda *sizes, bias=True: adapted(nn.Linear(*sizes, bias=bias))
        self.q, self.o = linear(width, width), linear(width, width, bias=False)
        self.k, self.v = (linear(width, kv_heads * self.head) for _ in range(2))
        self.gate, self.up = (linear(width, mlp, bias=False) for _ in range(2))
        self.down = linear(mlp, width, bias=False)

    def forward(self, x, cos, sin, past=None):
        b, t, d = x.shape
        normed = self.norm1(x)
        q, k, v = (
            layer(normed).view(b, t, -1, self.head).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        q, k = rotated(q, cos, sin), rotated(k, cos, sin)
        if past is not None:
            k, v = (torch.cat(pair, 2) for pair in zip(past, (k, v)))
        kept = (k, v)
        k, v = (part.repeat_interleave(self.group, 1) for part in kept)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=past is None)
        x = x + self.o(attended.transpose(1, 2).reshape(b, t, d))
        normed = self.norm2(x)
        return x + self.down(F.silu(self.gate(normed)) * self.up(normed)), kept


def rotated(x, cos, sin):
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin


class Model(nn.Module):
    """In the dtype of the sizes; adapters and mask decoder in f32."""

    def __init__(self, s, adapted=lambda linear: linear):
        super().__init__()
        c, d = s["vision_width"], s["width"]
        self.s, self.dtype = s, DTYPES[s["dtype"]]
        self.patches = nn.Conv2d(3, c, s["patch"], s["patch"])
        self.side = s["image_size"] // s["patch"]
        self.positions = nn.Parameter(torch.randn(1, 1 + self.side**2, c))
        block = lambda: VisionBlock(c, s["vision_mlp"], s["vision_heads"])
        self.vision = nn.ModuleList(block() for _ in range(s["vision_layers"]))
        self.mlp1 = nn.Sequential(nn.LayerNorm(4 * c), nn.Linear(4 * c, d), nn.GELU(), nn.Linear(d, d))
        self.embed, self.norm = nn.Embedding(s["vocabulary"], d), nn.RMSNorm(d, 1e-6)
        layer = lambda: DecoderLayer(d, s["mlp"], s["heads"], s["kv_heads"], adapted)
        self.layers = nn.ModuleList(layer() for _ in range(s["layers"]))
        self.head = nn.Linear(d, s["vocabulary"], bias=False)
        self.to(self.dtype)
        self.decoder = MaskDecoder(s, self.side)
        for module in self.modules():
            if isinstance(module, Adapted):
                module.a.data, module.b.data = module.a.data.float(), module.b.data.float()

    def encode(self, pixels):
        x = self.patches(pixels.to(self.dtype)).flatten(2).transpose(1, 2)
        x = torch.cat([x[:, :1], x], 1) + self.positions
        for block in self.vision:
            x = block(x)
        return x[:, 1:]

    def embeddings(self, image, ids, start):
        b, _, c = image.shape
        half = self.side // 2
        folded = image.view(b, half, 2, half, 2, c).transpose(2, 3).reshape(b, half * half, 4 * c)
        x = self.embed(ids)
        return torch.cat([x[:, :start], self.mlp1(folded), x[:, start + half * half :]], 1)

    def states(self, x, cache=None):
        """Of the embeddings x, which follow what is kept in `cache`, a list that is updated."""
        size = self.s["width"] // self.s["heads"]
        past = list(cache or [])
        start = past[0][0].shape[2] if past else 0
        positions = torch.arange(start, start + x.shape[1], device=x.device)[:, None]
        angle = positions * 1e6 ** (-torch.arange(0, size, 2, device=x.device) / size)
        angle = torch.cat([angle, angle], -1)
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        for index, layer in enumerate(self.layers):
            x, kept = layer(x, cos, sin, past[index] if past else None)
            if cache is not None:
                cache[index : index + 1] = [kept]
        return self.norm(x)


class MaskDecoder(nn.Module):
    def __init__(self, s, side):
        super().__init__()
        c, d = s["vision_width"], s["width"]
        self.patch, self.side = s["patch"], side
        self.image_down, self.text_down = nn.Linear(d, c), nn.Linear(d, c)
        attention = lambda: nn.TransformerDecoder(
            nn.TransformerDecoderLayer(c, s["decoder_heads"], c, batch_first=True), 1, nn.LayerNorm(c)
        )
        self.details, self.attend = attention(), attention()
        self.offset = nn.Conv2d(c, 32, 1)
        self.adapter = nn.Linear(3 * c, c)
        self.conv1, self.bn = nn.Conv2d(c, self.patch**2, 3, padding=1), nn.BatchNorm2d(self.patch**2)
        self.conv2 = nn.Conv2d(1, 1, 5, padding=2)

    def forward(self, image, states, segs):
        """image [b, p, c], states of the image's tokens [b, l, d], segs [b, n, d]: n masks of each image."""
        image, states, segs = image.float(), states.float(), segs.float()
        (b, p, c), n, half, side = image.shape, segs.shape[1], self.side // 2, self.side
        semantics = self.image_down(states)
        details = self.details(image, semantics)
        map = semantics.transpose(1, 2).reshape(b, c, half, half)
        offset = F.pixel_shuffle(self.offset(map), 2).reshape(4 * b, 2, side, side)
        grid = offset.permute(0, 2, 3, 1) * 0.01
        map = map.reshape(4 * b, c // 4, half, half)
        up = F.grid_sample(map, grid, align_corners=False, padding_mode="border")
        fused = self.adapter(torch.cat([details, image, up.reshape(b, c, p).transpose(1, 2)], 2))
        x = self.attended(fused, self.text_down(segs))
        x = self.conv1(x.transpose(1, 2).reshape(b * n, c, side, side))
        # In training, the masks of an image are a batch of their own.
        x = torch.cat([self.bn(maps) for maps in x.split(n)]) if self.training else self.bn(x)
        return torch.sigmoid(self.conv2(F.pixel_shuffle(torch.relu(x), self.patch)))

    def attended(self, x, segs):
        """nn.TransformerDecoder, with the self-attention of an image computed once for all its expressions."""
        layer, n = self.attend.layers[0], segs.shape[1]
        x = layer.norm1(x + layer._sa_block(x, None, None)).repeat_interleave(n, 0)
        x = layer.norm2(x + layer._mha_block(x, segs.flatten(0, 1)[:, None], None, None))
        return self.attend.norm(layer.norm3(x + layer._ff_block(x)))


class Stopwatch:
    """The seconds of each part, from its end to the end of the one before."""

    def __init__(self, clock, device):
        self.parts, self.clock, self.device = {}, clock, device
        self.last = self.now()

    def now(self):
        if self.device == "cuda":
            torch.cuda.synchronize()
        return self.clock()

    def part(self, name):
        before, self.last = self.last, self.now()
        self.parts[name] = self.last - before


def ceiling(s, device):
    dtype = DTYPES[s["dtype"]]
    a, b = (torch.randn(s["product"], s["product"], dtype=dtype) for _ in range(2))
    x, y = (torch.ones(s["copied"] // 4) for _ in range(2))

    def once(watch):
        for _ in range(TIMES):
            a @ b
        watch.part("product")
        for _ in range(TIMES):
            y.copy_(x)
        watch.part("copy")

    return torch.inference_mode()(once)


def inputs(s):
    return torch.randn(1, 3, s["image_size"], s["image_size"]), torch.arange(s["tokens"])[None]


def one_pass(model, s, pixels, ids, part=lambda name: None):
    start, length = s["image_start"], (model.side // 2) ** 2
    image = model.encode(pixels)
    part("vision")
    states = model.states(model.embeddings(image, ids, start))
    model.head(states[:, -1]).argmax(-1)
    part("language model")
    model.decoder(image, states[:, start - 1 : start - 1 + length], states[:, -1:]).cpu()
    part("mask decoder")


def segment(s, device):
    model, (pixels, ids) = Model(s).eval(), inputs(s)
    return torch.inference_mode()(lambda watch: one_pass(model, s, pixels, ids, watch.part))


def generate(s, device):
    model, (pixels, ids) = Model(s).eval(), inputs(s)
    with torch.inference_mode():
        asked = []
        model.states(model.embeddings(model.encode(pixels), ids, s["image_start"]), asked)

    def once(watch):
        cache, id = list(asked), ids[:, -1:]
        for _ in range(s["generated"]):
            id = model.head(model.states(model.embed(id), cache)[:, -1]).argmax(-1, keepdim=True)
            id.item()
        watch.part("tokens")

    return torch.inference_mode()(once)


def load(s, device):
    from safetensors.torch import load_file, save_file

    folder, (pixels, ids) = tempfile.TemporaryDirectory(), inputs(s)
    path = folder.name + "/model.safetensors"
    half = lambda x: x.to(torch.bfloat16) if x.is_floating_point() else x
    save_file({name: half(x) for name, x in Model(s).state_dict().items()}, path)

    def once(watch, folder=folder):  # which keeps the folder
        with torch.device("meta"):
            model = Model(s).eval()
        dtypes = {name: x.dtype for name, x in model.state_dict().items()}
        tensors = load_file(path, device=device)
        model.load_state_dict({name: x.to(dtypes[name]) for name, x in tensors.items()}, assign=True)
        watch.part("load")
        one_pass(model, s, pixels, ids)
        watch.part("first mask")

    return torch.inference_mode()(once)


def train(s, device):
    t = s["train"]
    adapted = lambda linear: Adapted(linear, t["lora_rank"], t["lora_scale"], t["lora_dropout"])
    model = Model(s, adapted).train().requires_grad_(False)
    trained = [*model.decoder.parameters(), *model.norm.parameters()]
    for module in model.modules():
        if isinstance(module, Adapted):
            trained += [module.a, module.b]
    for parameter in trained:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(trained, lr=4e-5, betas=(0.9, 0.999), weight_decay=0.05, fused=True)
    images, start, answer = t["images"], s["image_start"], t["answer_start"]
    pixels = torch.randn(images, 3, s["image_size"], s["image_size"])
    ids = (8 + torch.arange(t["tokens"]) % (s["vocabulary"] - 8)).repeat(images, 1)
    seg_positions = answer + 2 * torch.arange(t["expressions"])
    ids[:, seg_positions] = t["seg"]
    height, width = t["truth"]
    truth = (torch.arange(width) < width // 3).float().expand(images * t["expressions"], 1, height, width)

    def loss():
        with torch.no_grad():
            image = model.encode(pixels)
            x = model.embeddings(image, ids, start)
        states, length = model.states(x), (model.side // 2) ** 2
        logits = model.head(states[:, answer - 1 : -1]).float()
        ce = F.cross_entropy(logits.flatten(0, 1), ids[:, answer:].flatten())
        of_image = states[:, start - 1 : start - 1 + length]
        p = model.decoder(image, of_image, states[:, seg_positions - 1])
        p = F.interpolate(p, (height, width), mode="bilinear", align_corners=False)
        # As the published code: the focal loss takes probabilities for logits.
        of_truth = p * truth + (1 - p) * (1 - truth)
        weight = 0.25 * truth + 0.75 * (1 - truth)
        focal = weight * (1 - of_truth) ** 2 * F.binary_cross_entropy_with_logits(p, truth, reduction="none")
        shared, both = (p * truth).sum((1, 2, 3)), p.sum((1, 2, 3)) + truth.sum((1, 2, 3))
        dice = 1 - (2 * shared + 1) / (both + 1)
        return ce + focal.mean() + dice.mean()

    def once(watch):
        total = loss()
        total.backward()
        total.item()
        watch.part("gradients")
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        watch.part("update")

    return once


def device_of(s):
    if s["device"] == "cpu":
        return "cpu"
    for name, backend in [("cuda", torch.cuda), ("mps", torch.backends.mps)]:
        if backend.is_available():
            return name
    sys.exit("this PyTorch finds no GPU; leave out --peer, or install one for your GPU")


def peak(device):
    if device == "cuda":
        return torch.cuda.max_memory_reserved()
    try:
        with open("/proc/self/status") as status:
            lines = [line.split() for line in status]
        return next(1024 * int(line[1]) for line in lines if line[0] == "VmHWM:")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS


def forget_peak():
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass  # then the peak is that of the whole process


def main():
    works = {"ceiling": ceiling, "segment": segment, "train": train, "load": load, "generate": generate}
    s = json.loads(sys.argv[2])
    device = device_of(s)
    torch.set_num_threads(s["threads"])
    with torch.device(device):
        once = works[sys.argv[1]](s, device)
    is_first = True
    for line in sys.stdin:
        watch = Stopwatch(time.process_time if line.strip() == "processor" else time.perf_counter, device)
        once(watch)
        answer = {"parts": watch.parts, "peak": peak(device), "version": torch.__version__}
        print(json.dumps(answer), flush=True)
        if is_first:
            forget_peak()
            is_first = False


if __name__ == "__main__":
    main()
