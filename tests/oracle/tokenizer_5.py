#!/usr/bin/env python3
"""Tokenizers as transformers 5 saves them: tests/fixtures/tokenizer/{llama_5,library_5}/ of data/, from the reference case
internlm2_lora and from the folder `library` beside them. Their ids must be those of tokenizer.py's expectations. Needs
transformers 5.24 and sentencepiece; no network.

usage: tokenizer_5.py REFERENCE TOKENIZERS"""

import json
import sys
from pathlib import Path

from transformers import AutoTokenizer, LlamaTokenizer

reference, tokenizers = map(Path, sys.argv[1:])
# InternLM2's class is code of its checkpoint; this one with these switches does the same.
llama = LlamaTokenizer.from_pretrained(reference / "internlm2_lora", add_prefix_space=False, add_bos_token=True)
qwen = AutoTokenizer.from_pretrained(tokenizers / "library")
for tokenizer, name, expected in ((llama, "llama_5", "reference_internlm2.json"), (qwen, "library_5", "library/expected.json")):
    tokenizer.save_pretrained(tokenizers / name)
    saved = AutoTokenizer.from_pretrained(tokenizers / name)
    for text, ids, *_ in json.loads((tokenizers / expected).read_text()):
        assert saved(text, add_special_tokens=False).input_ids == ids, (name, text)
