#!/usr/bin/env python3
"""Adapters that PEFT saves for the models of tests/fixtures/native, and what those compute with them:
tests/fixtures/peft/. Needs torch, transformers 4.57 and peft 0.17; no network. `all_linear` is of transformers 5.24 and
peft 0.21.

usage: peft_adapters.py NATIVE OUT [CASE...]"""

import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import InternVLForConditionalGeneration

BLOCKS = "q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj"
CASES = {  # base, whether PEFT wraps the language model alone, and the adapter
    "alpha_1": ("qwen2", False, dict(r=4, lora_alpha=1, target_modules=rf".*language_model.*\.({BLOCKS})")),
    "alpha_r": ("qwen3", True, dict(r=3, lora_alpha=3, target_modules=["q_proj", "v_proj"])),
    "alpha_2r": ("qwen2_tied", False, dict(r=2, lora_alpha=4, layers_to_transform=[1],
                                           target_modules=["mlp.up_proj", "down_proj"])),
    "rslora": ("qwen3_untied", False, dict(r=4, lora_alpha=6, use_rslora=True,
                                           target_modules=r"^(?!.*vision).*(?:k_proj|gate_proj)$")),
    "internlm2": ("internlm2", False, dict(r=2, lora_alpha=3, target_modules=["o_proj", "gate_proj", "down_proj"])),
    "all_linear": ("qwen3", False, dict(r=2, lora_alpha=3, target_modules="all-linear", init_lora_weights="gaussian",
                                        exclude_modules=".*(vision|multi_modal).*")),
}

for case in sys.argv[3:] or CASES:
    base, is_language_only, options = CASES[case]
    torch.manual_seed(11)
    folder = Path(sys.argv[1]) / base
    model = InternVLForConditionalGeneration.from_pretrained(folder, attn_implementation="eager").eval()
    given = load_file(folder / "expected.safetensors")
    inner = model.model.language_model if is_language_only else model
    adapted = get_peft_model(inner, LoraConfig(lora_dropout=0.0, **options)).eval()
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if ".lora_B." in name:  # zero in a new adapter
                weight.copy_(torch.randn_like(weight) * 0.3)
        inputs = dict(input_ids=given["input_ids"], pixel_values=given["pixels"])
        hidden = model.model(**inputs).last_hidden_state
        logits = model(**inputs).logits
    assert (logits - given["logits"]).abs().max() > 0.05, case  # the adapter tells
    out = Path(sys.argv[2]) / case
    adapted.save_pretrained(out)
    (out / "README.md").unlink(missing_ok=True)
    expected = {"hidden": hidden, "logits": logits}
    save_file({name: tensor.contiguous() for name, tensor in expected.items()}, out / "expected.safetensors")
