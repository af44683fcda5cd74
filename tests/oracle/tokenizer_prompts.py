"""Writes data/tests/fixtures/tokenizer/prompts.json: conversations as the published preparation tokenizes them.

Run after tokenizer.py, in the same environment. `internvl2_5` tokenizes each turn on its own; the other templates tokenize the whole
conversation and count the answer's tokens, as MLLMSeg's dataset.py does.
"""

import json
import pathlib

from transformers import LlamaTokenizer, Qwen2Tokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "data/tests/fixtures/tokenizer"
IMAGE_TOKENS = 3
NEW = "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家合作单位联合开发的多模态大语言模型。"
OLD = "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。"
CHATML = ("<|im_start|>system\n", "<|im_start|>user\n", "<|im_start|>assistant\n")
TEMPLATES = {
    "internvl2_5": (NEW, CHATML, "<|im_end|>\n"),
    "internlm2-chat": (OLD, CHATML, "<|im_end|>"),
    "Hermes-2": (OLD, CHATML, "<|im_end|>"),
}
SENTENCEPIECE = {
    "internlm2_lora": ["internvl2_5", "internlm2-chat"], "dummy_fold": ["internvl2_5", "internlm2-chat", "Hermes-2"],
    "dummy_keep_unknown": ["internvl2_5"], "rules_no_dummy": ["internvl2_5", "Hermes-2"],
    "edited": ["internvl2_5"],
}
BYTE_LEVEL = {"qwen2": ["internvl2_5", "Hermes-2"], "byte_level": ["internvl2_5", "Hermes-2"]}
CONVERSATIONS = [
    ("<image>\n What are the red cupin this image? Please output segmentation masks.", "Sure,the red cup:[SEG]."),
    ("<image>\n What are 左边的人, café e\u0301, a  dogin this image? Please output segmentation masks.",
     "Sure,左边的人:[SEG], café e\u0301:[REJ], a  dog:[SEG]."),
    ("<image>\nCan you segment two horses in this image?", "Sure, the mask of two horses is [REJ]."),
]


def ids_of(tokenizer, text, bos=True):
    ids = tokenizer(text).input_ids
    if getattr(tokenizer, "add_bos_token", False):
        assert ids[0] == tokenizer.bos_token_id
        return ids if bos else ids[1:]
    return ids


def conversation(tokenizer, template, question, answer):
    """(ids, first position with loss, end of the loss)"""
    system, headers, end = TEMPLATES[template]
    question = question.replace("<image>", "<img>" + "<IMG_CONTEXT>" * IMAGE_TOKENS + "</img>")
    if template == "internlm2-chat":
        question, answer = question.strip(), answer.strip()
    turns = [header + text + end for header, text in zip(headers, (system, question, answer))]
    if template == "internvl2_5":
        ids = [ids_of(tokenizer, turn, bos=i == 0) for i, turn in enumerate(turns)]
        before = len(ids[0]) + len(ids[1])
        return sum(ids, []), before + len(ids_of(tokenizer, headers[2], bos=False)), before + len(ids[2]) - 1
    ids = ids_of(tokenizer, "".join(turns))
    return ids, len(ids_of(tokenizer, turns[0] + turns[1] + headers[2])), len(ids)


rows = []
for folders, kind in ((SENTENCEPIECE, LlamaTokenizer), (BYTE_LEVEL, Qwen2Tokenizer)):
    for name, templates in folders.items():
        path = OUT / name if (OUT / name).is_dir() else ROOT / "tests/reference" / name
        tokenizer = kind.from_pretrained(path)
        for template in templates:
            for question, answer in CONVERSATIONS:
                ids, start, end = conversation(tokenizer, template, question, answer)
                rows.append(json.dumps([name, template, question, answer, IMAGE_TOKENS, ids, start, end], separators=(",", ":")))
(OUT / "prompts.json").write_text("[\n" + ",\n".join(rows) + "\n]\n")
