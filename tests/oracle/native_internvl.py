#!/usr/bin/env python3
"""Small models of transformers' own InternVL, with Qwen2, Qwen3 and Llama, as which InternLM2 is stored, and what
they compute: tests/fixtures/native/{qwen2,qwen2_tied,qwen3,qwen3_untied,internlm2}/. Needs torch and transformers 4.57; no network.

usage: native_internvl.py OUT"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import InternVLConfig, InternVLForConditionalGeneration

IMAGE_TOKEN, IMAGE_TOKENS = 40, 4
CASES = {"qwen2": ("qwen2", False), "qwen2_tied": ("qwen2", True),
         "qwen3": ("qwen3", True), "qwen3_untied": ("qwen3", False), "internlm2": ("llama", False)}
ARCHITECTURES = {"qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM", "llama": "LlamaForCausalLM"}


def config(kind, tied):
    text = {
        "model_type": kind, "architectures": [ARCHITECTURES[kind]],
        "vocab_size": 48, "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 3, "num_key_value_heads": 1, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
        "max_position_embeddings": 128, "tie_word_embeddings": tied,
    }
    if kind == "qwen3":
        text["head_dim"] = 12  # not hidden_size / num_attention_heads
    if kind == "llama":
        text |= {"num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5}  # two groups of two
    vision = {
        "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
        "patch_size": [4, 4], "image_size": [16, 16], "layer_norm_eps": 1e-6, "attention_bias": True,
    }
    return InternVLConfig(vision_config=vision, text_config=text, image_token_id=IMAGE_TOKEN,
                          image_seq_length=IMAGE_TOKENS, downsample_ratio=0.5,
                          tie_word_embeddings=tied)


def make(kind, tied, out):
    torch.manual_seed(7)
    model = InternVLForConditionalGeneration._from_config(config(kind, tied), attn_implementation="eager").eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            drawn = torch.randn_like(weight)
            is_scale = weight.dim() == 1 and not name.endswith("bias")
            weight.copy_(1 + 0.2 * drawn if is_scale else drawn * (0.3 if weight.dim() > 1 else 0.1))
    model.tie_weights()
    model.save_pretrained(out)
    # This project's own section, for a decoder of this width.
    (out / "generation_config.json").unlink()
    path = out / "config.json"
    text = json.loads(path.read_text())
    text["mask_decoder_config"] = {"variant": "dsff", "num_attention_heads": 4, "dysample_groups": 2, "dropout": 0.1}
    path.write_text(json.dumps(text, indent=1))

    pixels = torch.randn(1, 3, 16, 16)
    ids = torch.tensor([[1, 2] + [IMAGE_TOKEN] * IMAGE_TOKENS + [3, 4, 5, 6, 7, 8]])
    with torch.no_grad():
        vision = model.model.vision_tower(pixel_values=pixels).last_hidden_state[:, 1:]
        projected = model.model.get_image_features(pixel_values=pixels)
        hidden = model.model(input_ids=ids, pixel_values=pixels).last_hidden_state
        logits = model(input_ids=ids, pixel_values=pixels).logits
    expected = {"pixels": pixels, "input_ids": ids, "vision": vision, "projected": projected.reshape(1, IMAGE_TOKENS, -1),
                "hidden": hidden, "logits": logits}
    save_file({name: tensor.contiguous() for name, tensor in expected.items()}, out / "expected.safetensors")


for name, (kind, tied) in CASES.items():
    out = Path(sys.argv[1]) / name
    out.mkdir(parents=True, exist_ok=True)
    make(kind, tied, out)
