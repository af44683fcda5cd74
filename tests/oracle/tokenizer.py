"""Writes data/tests/fixtures/tokenizer/: small tokenizers and the ids that the Python implementations give.

    python -m venv venv && venv/bin/pip install transformers==4.46.3 sentencepiece==0.2.3 protobuf
    venv/bin/python tests/oracle/tokenizer.py [--with-nfkc]

InternLM2's tokenizer class is remote code that encodes each stretch between added tokens by `sp_model.encode`; transformers'
`LlamaTokenizer(legacy=True)` does the same and stands in for it. `--with-nfkc` adds a model with the full nmt_nfkc map, which is too
large to keep in the repository (240 KB).
"""

import json
import pathlib
import random
import shutil
import sys
import tempfile

import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2 as pb
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AddedToken, LlamaTokenizer, Qwen2Tokenizer, Qwen2TokenizerFast
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "data/tests/fixtures/tokenizer"
REFERENCE = ROOT / "tests/reference"
TURN = ["<|im_end|>", "<|im_start|>"]
IMAGE = ["<img>", "</img>", "<IMG_CONTEXT>", "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>"]
MASK = ["[SEG]", "[REJ]"]

TEXTS = [
    "", " ", "  ", "\n", "\t", "\n\n  \n", "a", " a", "a ", "  a  b  ", "the two horses facing away",
    "What are man in the red shirt, small brown dogin this image?", "Sure,umbrella:[SEG], cup:[REJ].",
    "<|im_start|>user\n<img><IMG_CONTEXT><IMG_CONTEXT></img>\n What are the cups?<|im_end|>\n",
    "<|im_start|>assistant\n", "<|im_end|>\n", "[SEG]", " [SEG] ", "x[SEG]y", "x [SEG] y", "[SEG][REJ]", "[SEG",
    "[[SEG]]", "<s>", "</s> x", "a<unk>b", "<0x0A>", "<|im_start", "<img", "<image>\n", "<ref> a </ref>",
    "你是书生·万象，英文名是InternVL", "左边的人", "日本語のテキスト", "héllo wörld", "e\u0301 vs \u00e9", "ﬁne Ⅷ ½ ①",
    "ＡＢＣ　１２３", "🐎 two 🐎🏽 horses 👨‍👩‍👧", "emoji🙂text", "мир", "مرحبا", "नमस्ते", "각 각", "\u1112\u1161\u11ab",
    "▁", "▁a ▁ b", "a▁b", "aaa", "aaaa", "aaaaa", "aaaaaaa", "-----", "--------- --", "......", "   three spaces",
    "tab\tand\r\nreturn", "\u00a0nbsp\u00a0", "a\u2003b\u200bc\ufeffd", "a\u0085b\u2028c", "\x00nul", "\x1f\x1c sep", "it's THE dog's, I'LL we'Ve",
    "it'\u017f", "1234567890 12.5%", "# ## ###", "#version", "def f(x):\n    return x  # two\n", "ab" * 40,
    "The segmentation results are the cup [SEG], the mask of a dog is [REJ].", "<ud>", "x<ud>y", "a <ud> b", "<ud2>", "abcab",
    "[UNUSED_TOKEN_1]", "\ud7ff\uffff", "a\u0301\u0327b", "Ǆ ǆ ǅ", "™ ℃ ㎏", "<strip> a", "a <strip> b", "a \n<strip>\t\u00a0 b", "<strip><strip> x",
    "<|system|>\n a<|end|><|user|>\n b <|end|>", "  <|im_start|>  ", "x\n<|im_end|>\ny", "<|im_end|>\u0338", "</img>\u0301",
]

WORDS = (
    "the a man woman dog horse cup umbrella red blue small left right in on of with shirt facing away brown two three "
    "person chair table What are is this image Please segment output segmentation masks respond results Sure the mask "
    "referred aaa aa aaaa -- ---- system user assistant it's dog's 12 345 # ## def return self"
).split()


def corpus(path):
    rng = random.Random(7)
    lines = [" ".join(rng.choices(WORDS, k=rng.randint(3, 14))) for _ in range(1500)]
    lines += ["左边的人 右边的狗 你是 万象"] * 30 + ["café naïve é à"] * 20 + ["aaaa aaa aaaaa aa-----"] * 60
    lines += ["def f ( x ) :  return  x   # two ### four"] * 40
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def train(work, name, **options):
    spm.SentencePieceTrainer.train(
        input=str(work / "corpus.txt"), model_prefix=str(work / name), model_type="bpe", vocab_size=options.pop("vocab_size", 480),
        character_coverage=0.9995, hard_vocab_limit=False, minloglevel=2, num_threads=1, **options,
    )
    path = work / f"{name}.model"
    proto = pb.ModelProto()
    proto.ParseFromString(path.read_bytes())
    # Paths of this run, which would make every run's file differ.
    proto.trainer_spec.ClearField("input")
    proto.trainer_spec.ClearField("model_prefix")
    proto.normalizer_spec.ClearField("normalization_rule_tsv")
    path.write_bytes(proto.SerializeToString())
    return path


def folder(name):
    path = OUT / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def runs(tokenizer, ids):
    """Ids in runs: each added token alone, ordinary tokens together."""
    added = tokenizer.added_tokens_decoder
    run = []
    for i in ids:
        if i in added:
            if run:
                yield False, run
            run = []
            yield True, [i]
        else:
            run.append(i)
    if run:
        yield False, run


def decoded(tokenizer, ids, plain, skip):
    out = ""
    for is_added, run in runs(tokenizer, ids):
        if is_added:
            token = tokenizer.added_tokens_decoder[run[0]]
            out += "" if skip and token.special else token.content
        else:
            out += plain(run)
    return out


def expect(path, tokenizer, plain, texts=TEXTS):
    cases = []
    for text in texts:
        ids = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))
        if any(i is None for i in ids):
            cases.append([text, None, None, None])
            continue
        cases.append([text, ids, decoded(tokenizer, ids, plain, False), decoded(tokenizer, ids, plain, True)])
    name = path if path.suffix == ".json" else path / "expected.json"
    rows = ",\n".join(json.dumps(case, ensure_ascii=True, separators=(",", ":")) for case in cases)
    name.write_text("[\n" + rows + "\n]\n")


def sentencepiece_folder(name, model, strip=False):
    path = folder(name)
    tokenizer = LlamaTokenizer(str(model), legacy=True)
    tokenizer.add_special_tokens({"additional_special_tokens": TURN + IMAGE + MASK})
    if strip:
        tokenizer.add_tokens([AddedToken("<strip>", lstrip=True, rstrip=True, normalized=False)])
    tokenizer.save_pretrained(path)
    tokenizer = LlamaTokenizer.from_pretrained(path)
    processor = tokenizer.sp_model
    expect(path, tokenizer, lambda run: processor.decode([int(i) for i in run]))


def edited(model, out):
    """Ties between pairs that give one piece, negative zero, unused pieces and a piece with an unknown character."""
    proto = pb.ModelProto()
    proto.ParseFromString(model.read_bytes())
    have = {piece.piece for piece in proto.pieces}

    def put(text, score, kind=1):
        if text in have:
            for piece in proto.pieces:
                if piece.piece == text:
                    piece.score, piece.type = score, kind
        else:
            proto.pieces.add(piece=text, score=score, type=kind)
            have.add(text)

    put("aa", -0.0)
    put("aaa", -0.5)
    put("ab", -0.5, 5)
    put("abc", -0.7)
    put("ba", 0.0)
    put("☃☃", -0.1)
    put("wör", -3.0)
    out.write_bytes(proto.SerializeToString())


def byte_level_folder(work):
    path = folder("byte_level")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(__import__("tokenizers").Regex(PRETOKENIZE_REGEX), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train([str(work / "corpus.txt")], trainer)
    tokenizer.model.save(str(work))
    merges = (work / "merges.txt").read_text(encoding="utf-8").splitlines()
    merges = [line for line in merges if not line.startswith("#version")]
    # No header, and a first line that is a merge of number signs.
    merges = ["# #"] + [line for line in merges if line != "# #"]
    vocab = json.loads((work / "vocab.json").read_text(encoding="utf-8"))
    vocab.setdefault("##", len(vocab))
    (path / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    (path / "merges.txt").write_text("\n".join(merges) + "\n", encoding="utf-8")
    slow = Qwen2Tokenizer(str(path / "vocab.json"), str(path / "merges.txt"))
    slow.add_special_tokens({"additional_special_tokens": TURN + IMAGE + MASK})
    # The older layout: ids in added_tokens.json, roles in special_tokens_map.json, no added_tokens_decoder.
    (path / "added_tokens.json").write_text(json.dumps(slow.get_added_vocab()))
    roles = {"eos_token": "<|endoftext|>", "pad_token": {"content": "<|endoftext|>"}, "additional_special_tokens": TURN + IMAGE + MASK}
    (path / "special_tokens_map.json").write_text(json.dumps(roles))
    slow = Qwen2Tokenizer.from_pretrained(path)
    expect(path, slow, lambda run: slow.convert_tokens_to_string(slow.convert_ids_to_tokens(run)))
    fast_path = folder("library")
    fast = Qwen2TokenizerFast.from_pretrained(path)
    fast.backend_tokenizer.save(str(fast_path / "tokenizer.json"), pretty=False)
    (fast_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|endoftext|>", "tokenizer_class": "Qwen2Tokenizer"}))
    texts = [text for text in TEXTS if "\u0338" not in text and "</img>\u0301" not in text]
    expect(fast_path, fast, lambda run: fast.backend_tokenizer.decode(run), texts)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    llama = LlamaTokenizer.from_pretrained(REFERENCE / "internlm2_lora", legacy=True)
    expect(OUT / "reference_internlm2.json", llama, llama.sp_model.decode)
    qwen = Qwen2Tokenizer.from_pretrained(REFERENCE / "qwen2")
    expect(OUT / "reference_qwen2.json", qwen, lambda run: qwen.convert_tokens_to_string(qwen.convert_ids_to_tokens(run)))
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        corpus(work / "corpus.txt")
        rules = work / "rules.tsv"
        # Code points and what they become: longest match, deletion, expansion, spaces from other characters.
        rules.write_text("41\t61\n41 42\t78 20 79\nAD\t\nFB01\t66 69\nA0\t20\n3000\t20\n65 301\tE9\n2122\t54 4D\n9\t20\nA\t20\n20 20 20\t2D\n")
        identity = dict(normalization_rule_name="identity")
        common = dict(user_defined_symbols=["<ud>", "<ud2>", "[UNUSED_TOKEN_1]"], byte_fallback=True)
        sentencepiece_folder("dummy_fold", train(work, "a", **identity, **common, remove_extra_whitespaces=True))
        sentencepiece_folder("dummy_keep_unknown", train(work, "b", **identity, vocab_size=300, remove_extra_whitespaces=False), strip=True)
        sentencepiece_folder("rules_no_dummy", train(
            work, "c", normalization_rule_tsv=str(rules), add_dummy_prefix=False, remove_extra_whitespaces=True, **common))
        edited(work / "b.model", work / "f.model")
        sentencepiece_folder("edited", work / "f.model")
        if "--with-nfkc" in sys.argv:
            sentencepiece_folder("nfkc", train(work, "g", normalization_rule_name="nmt_nfkc", **common))
            sentencepiece_folder("nfkc_cf_keep", train(
                work, "h", normalization_rule_name="nfkc_cf", remove_extra_whitespaces=False, add_dummy_prefix=False))
        byte_level_folder(work)


main()
