"""The work of `cargo xtask bench` in plain PyTorch, for `cargo xtask bench --peer`.

Usage: bench.py '{"image_size": 448, ...}' (the sizes, as `Sizes` in xtask/src/bench/peer.rs).
Every line on standard input, `wall` or `processor`, asks for one full pass by that clock: image and one expression to one mask, with
drawn weights, in f32, attention by SDPA, under `inference_mode`. The answer is one line of JSON with
the seconds of each part and the peak memory of this process.
"""

import json
import resource
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


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


class DecoderLayer(nn.Module):
    def __init__(self, width, mlp, heads, kv_heads):
        super().__init__()
        self.head = width // heads
        self.group = heads // kv_heads
        self.norm1, self.norm2 = nn.RMSNorm(width, 1e-6), nn.RMSNorm(width, 1e-6)
        self.q, self.o = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.k, self.v = (nn.Linear(width, kv_heads * self.head) for _ in range(2))
        self.gate, self.up = (nn.Linear(width, mlp, bias=False) for _ in range(2))
        self.down = nn.Linear(mlp, width, bias=False)

    def forward(self, x, cos, sin):
        b, t, d = x.shape
        normed = self.norm1(x)
        q, k, v = (
            layer(normed).view(b, t, -1, self.head).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        q, k = rotated(q, cos, sin), rotated(k, cos, sin)
        k, v = (part.repeat_interleave(self.group, 1) for part in (k, v))
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(attended.transpose(1, 2).reshape(b, t, d))
        normed = self.norm2(x)
        return x + self.down(F.silu(self.gate(normed)) * self.up(normed))


def rotated(x, cos, sin):
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin


class Model(nn.Module):
    def __init__(self, s):
        super().__init__()
        c, d = s["vision_width"], s["width"]
        self.s = s
        self.patches = nn.Conv2d(3, c, s["patch"], s["patch"])
        self.side = s["image_size"] // s["patch"]
        self.positions = nn.Parameter(torch.randn(1, 1 + self.side**2, c))
        block = lambda: VisionBlock(c, s["vision_mlp"], s["vision_heads"])
        self.vision = nn.ModuleList(block() for _ in range(s["vision_layers"]))
        self.mlp1 = nn.Sequential(nn.LayerNorm(4 * c), nn.Linear(4 * c, d), nn.GELU(), nn.Linear(d, d))
        self.embed, self.norm = nn.Embedding(s["vocabulary"], d), nn.RMSNorm(d, 1e-6)
        layer = lambda: DecoderLayer(d, s["mlp"], s["heads"], s["kv_heads"])
        self.layers = nn.ModuleList(layer() for _ in range(s["layers"]))
        self.head = nn.Linear(d, s["vocabulary"], bias=False)
        self.image_down, self.text_down = nn.Linear(d, c), nn.Linear(d, c)
        attention = lambda: nn.TransformerDecoder(
            nn.TransformerDecoderLayer(c, s["decoder_heads"], c, batch_first=True), 1, nn.LayerNorm(c)
        )
        self.details, self.attend = attention(), attention()
        self.offset = nn.Conv2d(c, 32, 1)
        self.adapter = nn.Linear(3 * c, c)
        self.conv1, self.bn = nn.Conv2d(c, s["patch"] ** 2, 3, padding=1), nn.BatchNorm2d(s["patch"] ** 2)
        self.conv2 = nn.Conv2d(1, 1, 5, padding=2)

    def encode(self, pixels):
        x = self.patches(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([x[:, :1], x], 1) + self.positions
        for block in self.vision:
            x = block(x)
        return x[:, 1:]

    def states(self, image, ids, start):
        b, _, c = image.shape
        half = self.side // 2
        folded = image.view(b, half, 2, half, 2, c).transpose(2, 3).reshape(b, half * half, 4 * c)
        x = self.embed(ids)
        x = torch.cat([x[:, :start], self.mlp1(folded), x[:, start + half * half :]], 1)
        size = self.s["width"] // self.s["heads"]
        angle = torch.arange(ids.shape[1])[:, None] * 1e6 ** (-torch.arange(0, size, 2) / size)
        angle = torch.cat([angle, angle], -1)
        for layer in self.layers:
            x = layer(x, angle.cos(), angle.sin())
        return self.norm(x)

    def decode(self, image, states, start):
        b, p, c = image.shape
        half = self.side // 2
        semantics = self.image_down(states[:, start - 1 : start - 1 + half * half])
        details = self.details(image, semantics)
        map = semantics.transpose(1, 2).reshape(b, c, half, half)
        offset = F.pixel_shuffle(self.offset(map), 2).view(4, 2, self.side, self.side)
        grid = offset.permute(0, 2, 3, 1) * 0.01
        up = F.grid_sample(map.view(4, c // 4, half, half), grid, align_corners=False, padding_mode="border")
        fused = self.adapter(torch.cat([details, image, up.reshape(b, c, p).transpose(1, 2)], 2))
        x = self.attend(fused, self.text_down(states[:, -1:]))
        x = torch.relu(self.bn(self.conv1(x.transpose(1, 2).reshape(b, c, self.side, self.side))))
        return torch.sigmoid(self.conv2(F.pixel_shuffle(x, self.s["patch"])))


def main():
    s = json.loads(sys.argv[1])
    torch.set_num_threads(s["threads"])
    model = Model(s).eval()
    pixels = torch.randn(1, 3, s["image_size"], s["image_size"])
    ids = torch.arange(s["tokens"])[None]
    with torch.inference_mode():
        for line in sys.stdin:
            clock = time.process_time if line.strip() == "processor" else time.perf_counter
            times = [clock()]
            image = model.encode(pixels)
            times.append(clock())
            states = model.states(image, ids, s["image_start"])
            model.head(states[:, -1]).argmax(-1)
            times.append(clock())
            model.decode(image, states, s["image_start"])
            times.append(clock())
            parts = [after - before for before, after in zip(times, times[1:])]
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            print(json.dumps({"parts": parts, "peak": peak, "version": torch.__version__}), flush=True)


if __name__ == "__main__":
    main()
