#!/usr/bin/env python3
"""Write what a Python implementation computes for one picture, as a reference for `mllmseg check --reference`.

    dump.py --code DIR CHECKPOINT PICTURE OUT.safetensors EXPRESSION...   an MLLMSeg model, by a clone of the published code
    dump.py CHECKPOINT PICTURE OUT.safetensors EXPRESSION...              a base in the layout of transformers (`-hf`), by transformers

Run it where that implementation runs (torch, transformers 4.52 to 5, safetensors, Pillow below 13, which resizes otherwise);
it changes nothing. OUT holds the picture, the conversation and every stage: then
`mllmseg check CHECKPOINT --reference OUT.safetensors`.
"""

import argparse
import sys

import numpy as np
import PIL
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file

SYSTEM = ("你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家合作单位联合开发的"
          "多模态大语言模型。")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("picture")
    parser.add_argument("out")
    parser.add_argument("expression", nargs="+")
    parser.add_argument("--code", help="clone of the published code")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ...")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"],
                        help="what differs by rounding is judged in float32 only")
    return parser.parse_args()


def keep(stages, name):
    """A forward hook that keeps what a module returns."""
    def hook(_module, _inputs, output):
        stages[name] = output
    return hook


def published(args, image, question, answer):
    """MLLMSeg, its prompt and its transform by the published code."""
    sys.path.insert(0, args.code)
    from mllmseg import dataset
    from mllmseg.mllmseg_internvl import MLLMSeg

    dtype = getattr(torch, args.dtype)
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.checkpoint, trust_remote_code=True, use_fast=False)
    model = MLLMSeg.from_pretrained(args.checkpoint, low_cpu_mem_usage=True, torch_dtype=dtype, data_type=dtype,
                                    tokenizer=tokenizer, init_decoder=True).eval().to(args.device)
    seg, rej, model.img_context_token_id = tokenizer.convert_tokens_to_ids(["[SEG]", "[REJ]", "<IMG_CONTEXT>"])
    model.seg_token_idx, model.rej_token_idx = seg, rej
    prepare = {"internvl2_5": dataset.preprocess_internvl2_5, "internlm2-chat": dataset.preprocess_internlm,
               "Hermes-2": dataset.preprocess_mpt}[model.template]
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    prompt = prepare(model.template, [turns], tokenizer, [model.num_image_token], ds_name="test")
    size = model.config.force_image_size or model.config.vision_config.image_size
    pixels = dataset.build_transform(is_train=False, input_size=size)(image)[None]

    stages = {}
    model.mlp1.register_forward_hook(keep(stages, "projected"))
    model.language_model.register_forward_hook(keep(stages, "language"))
    features = model.extract_feature

    def extract_feature(pixel_values):
        projected, stages["vit_feature"] = features(pixel_values)
        return projected, stages["vit_feature"]
    model.extract_feature = extract_feature
    ids = prompt["input_ids"].to(args.device, torch.int)
    output = model(pixel_values=pixels.to(args.device), input_ids=ids, inference=True,
                   attention_mask=prompt["attention_mask"].to(args.device), image_flags=torch.tensor([1]))
    language = stages.pop("language")
    stages.update(input_ids=prompt["input_ids"], pixel_values=pixels, last_hidden_state=language.hidden_states[-1],
                  argmax_ids=language.logits.argmax(-1), pred_ids=output["output_ids"][0], masks=output["pred_masks"][0])
    return stages


def native(args, image, question):
    """A base in the layout of transformers: the stages up to the logits. It has no [SEG], so nothing is answered."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.checkpoint)
    model = transformers.InternVLForConditionalGeneration.from_pretrained(
        args.checkpoint, torch_dtype=getattr(torch, args.dtype), attn_implementation="eager").eval().to(args.device)
    config = model.config
    tokens = "<img>" + "<IMG_CONTEXT>" * config.image_seq_length + "</img>"
    turns = [f"<|im_start|>system\n{SYSTEM}<|im_end|>\n",
             f"<|im_start|>user\n{question.replace('<image>', tokens)}<|im_end|>\n", "<|im_start|>assistant\n"]
    # A tokenizer that starts a text with <s>, as InternLM2's, does so once.
    ids = [tokenizer(turn, add_special_tokens=turn is turns[0]).input_ids for turn in turns]
    ids = torch.tensor([sum(ids, [])])
    size = config.vision_config.image_size
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    pixels = torch.from_numpy(np.array(image.resize((width, height), Image.Resampling.BICUBIC))).permute(2, 0, 1) / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    pixels = ((pixels - mean) / std)[None]

    kept = {}
    model.model.vision_tower.register_forward_hook(keep(kept, "vision"))
    model.model.multi_modal_projector.register_forward_hook(keep(kept, "projected"))
    model.model.language_model.register_forward_hook(keep(kept, "language"))
    logits = model(input_ids=ids.to(args.device), pixel_values=pixels.to(args.device, model.dtype)).logits
    return {"input_ids": ids, "pixel_values": pixels, "vit_feature": kept["vision"].last_hidden_state[:, 1:],
            "projected": kept["projected"].reshape(1, config.image_seq_length, -1),
            "last_hidden_state": kept["language"].last_hidden_state, "argmax_ids": logits.argmax(-1)}


@torch.no_grad()
def main():
    args = arguments()
    image = Image.open(args.picture).convert("RGB")
    # The published evaluation prompt; the missing space before "in" is its own.
    question = f"<image>\n What are {', '.join(args.expression)}in this image? Please output segmentation masks."
    answer = "Sure," + ", ".join(f"{expression}:[SEG]" for expression in args.expression) + "."
    metadata = {"mllmseg_reference": "1", "question": question, "dtype": args.dtype, "pillow": PIL.__version__,
                "torch": torch.__version__, "transformers": transformers.__version__}
    if args.code:
        stages, metadata = published(args, image, question, answer), {**metadata, "source": "published", "answer": answer}
    else:
        stages, metadata = native(args, image, question), {**metadata, "source": "transformers"}
    stages = {name: stage.float() if stage.is_floating_point() else stage.long() for name, stage in stages.items()}
    stages["image"] = torch.from_numpy(np.array(image))
    save_file({name: stage.cpu().contiguous() for name, stage in stages.items()}, args.out, metadata=metadata)
    for name, stage in stages.items():
        print(f"{name:<20} {list(stage.shape)}")


main()
