#!/usr/bin/env python3
"""The models of tests/fixtures/native by transformers 5: what it computes with them must be what 4.57 computed, the weights
that it saves must have the same names and values, and its configurations are written beside those of 4.57 (config_5.json).
Needs torch and transformers 5.24; no network.

usage: native_5.py FIXTURES"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file
from transformers import InternVLForConditionalGeneration

TOLERANCE = 2e-5


@torch.no_grad()
def stages(model, given):
    kept = {}
    for name in ("vision_tower", "multi_modal_projector", "language_model"):
        module = getattr(model.model, name)
        module.register_forward_hook(lambda _module, _inputs, output, name=name: kept.update({name: output}))
    logits = model(input_ids=given["input_ids"], pixel_values=given["pixels"]).logits
    return {"vision": kept["vision_tower"].last_hidden_state[:, 1:], "projected": kept["multi_modal_projector"],
            "hidden": kept["language_model"].last_hidden_state, "logits": logits}


for kind in ("qwen2", "qwen2_tied", "qwen3", "qwen3_untied", "internlm2"):
    folder = Path(sys.argv[1]) / kind
    model = InternVLForConditionalGeneration.from_pretrained(folder, attn_implementation="eager").eval()
    expected = load_file(folder / "expected.safetensors")
    for name, found in stages(model, expected).items():
        difference = (found.reshape(expected[name].shape) - expected[name]).abs().max().item()
        print(f"{kind:<12} {name:<9} {difference:.1e}")
        assert difference <= TOLERANCE
    with TemporaryDirectory() as place:
        model.save_pretrained(place)
        saved, stored = (load_file(Path(at) / "model.safetensors") for at in (place, folder))
        assert saved.keys() == stored.keys() and all(torch.equal(saved[name], stored[name]) for name in saved)
        (folder / "config_5.json").write_text((Path(place) / "config.json").read_text())
