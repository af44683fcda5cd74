#!/usr/bin/env python3
"""The configurations of tests/fixtures/native as transformers 5 writes them, beside those of 4.57.

usage: native_config_5.py FIXTURES"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from transformers import InternVLConfig

for kind in ("qwen2", "qwen2_tied", "qwen3", "qwen3_untied", "internlm2"):
    folder = Path(sys.argv[1]) / kind
    old = json.loads((folder / "config.json").read_text())
    decoder = old.pop("mask_decoder_config")  # this project's own section
    for key in ("transformers_version", "model_type", "dtype"):
        old.pop(key)
    with TemporaryDirectory() as place:
        InternVLConfig(**old).save_pretrained(place)
        new = json.loads((Path(place) / "config.json").read_text())
    text = json.dumps(new | {"mask_decoder_config": decoder}, indent=1)
    (folder / "config_5.json").write_text(text)
