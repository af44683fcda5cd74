//! `mllmseg info`: what a checkpoint or a published base is made of.

use std::fmt::Write;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use indicatif::HumanCount;
use mllmseg::device;
use mllmseg::model::checkpoint::WeightFiles;
use mllmseg::model::checkpoint::names::is_lora;
use mllmseg::model::mask_decoder::MaskDecoder;
use mllmseg::model::parameters::parameter_count;
use mllmseg::model::{Mllmseg, MllmsegConfig, Preset, Variant};
use serde_json::{Map, Value, json};

use super::CliError;
use super::checkpoint::checkpoint_folder;
use super::terminal::print_result;

/// Show sizes and parameter counts of a checkpoint or of a published base
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// A checkpoint: a folder, or OWNER/NAME on the hub
    ///
    /// Only its config.json and the headers of its weights are read.
    #[arg(value_name = "DIR|OWNER/NAME", value_hint = ValueHint::DirPath, required_unless_present = "preset", conflicts_with = "preset")]
    checkpoint: Option<PathBuf>,
    /// internvl2-2b, -8b, internvl2_5-1b, -2b, -4b, -8b, internvl3-1b, -2b, -8b, internvl3_5-1b, -2b, -4b,
    /// -8b or tiny
    #[arg(long, value_name = "NAME")]
    preset: Option<Preset>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints what there is to know.
pub fn run(arguments: InfoArgs) -> Result<(), CliError> {
    let info = match (&arguments.checkpoint, arguments.preset) {
        (_, Some(preset)) => info_json(preset.name(), &preset.config()),
        (Some(name), None) => {
            let dir = checkpoint_folder(name)?;
            let (config, mut assumed) = MllmsegConfig::read(&dir)?;
            let files = WeightFiles::open(&dir)?;
            if files.adapter().is_some_and(|adapter| adapter.scale_is_assumed) {
                assumed.push("lora_alpha = 2 r: there is no adapter_config.json".into());
            }
            let mut info = info_json(&name.display().to_string(), &config);
            info["assumed"] = json!(assumed);
            info["weights"] = weights_json(&files);
            info
        }
        (None, None) => return Err("name a checkpoint folder or a --preset".into()),
    };
    if arguments.json {
        print_result(format!("{info:#}"))
    } else {
        print_result(tables(&info)?.trim_end())
    }
}

fn info_json(name: &str, config: &MllmsegConfig) -> Value {
    let cpu = device::cpu().device;
    // Parameters are counted by shape: none is drawn.
    let model = Mllmseg::new(config, None, &cpu);
    let mut other = config.clone();
    let decoders = Variant::ALL.into_iter().map(|variant| {
        other.mask_decoder.variant = variant;
        (variant.name().into(), json!(parameter_count(&MaskDecoder::new(&other, &cpu))))
    });
    let decoders: Map<_, _> = decoders.collect();
    json!({
        "name": name,
        "config": config.to_json(None),
        "image_size": config.image_size,
        "image_tokens": config.num_image_tokens(),
        "mask_size": config.mask_size(),
        "mask_decoder_variant": config.mask_decoder.variant.name(),
        "parameters": {
            "vision": parameter_count(&model.vision),
            "projector": parameter_count(&model.projector),
            "language_model": parameter_count(&model.language_model),
            "mask_decoder": parameter_count(&model.mask_decoder),
            "total": parameter_count(&model),
        },
        "mask_decoder_parameters": decoders,
        "assumed": [],
        "weights": null,
    })
}

fn weights_json(files: &WeightFiles) -> Value {
    json!({
        "bytes": files.byte_len(),
        "tensors": files.shapes().count(),
        "has_mask_decoder": files.has_mask_decoder(),
        "lora_rank": files.adapter().map(|adapter| adapter.lora.rank),
        "lora_scale": files.adapter().map(|adapter| adapter.lora.scale()),
        "lora_tensors": files.shapes().filter(|(name, _)| is_lora(name)).count(),
        "notes": files.notes(),
    })
}

fn tables(info: &Value) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let count = |value: &Value| HumanCount(value.as_u64().unwrap_or_default()).to_string();
    writeln!(text, "{}", info["name"].as_str().unwrap_or_default())?;
    writeln!(text, "\nsizes")?;
    let (vision, language) = (&info["config"]["vision_config"], &info["config"]["llm_config"]);
    for (part, sizes) in [("vision", vision), ("language", language)] {
        let kind = sizes["architectures"][0].as_str().unwrap_or_default();
        let [layers, width, heads, mlp] =
            ["num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size"]
                .map(|key| sizes[key].to_string());
        writeln!(
            text,
            "  {part:<10} {kind}: {layers} layers, {width} wide, {heads} heads, MLP {mlp}"
        )?;
    }
    writeln!(
        text,
        "  {:<10} {} key/value heads, {} tokens",
        "", language["num_key_value_heads"], language["vocab_size"]
    )?;
    writeln!(
        text,
        "  {:<10} {} pixels a side, {} image tokens, {} pixels of mask a side",
        "image", info["image_size"], info["image_tokens"], info["mask_size"]
    )?;
    writeln!(
        text,
        "  {:<10} rope {} with scaling {}, RMS epsilon {}, layer norm epsilon {}",
        "numbers",
        language["rope_theta"],
        language["rope_scaling"],
        language["rms_norm_eps"],
        vision["layer_norm_eps"]
    )?;
    writeln!(
        text,
        "  {:<10} select_layer {}, ps_version {}, template {}",
        "",
        info["config"]["select_layer"],
        info["config"]["ps_version"],
        info["config"]["template"]
    )?;
    for value in info["assumed"].as_array().into_iter().flatten() {
        writeln!(text, "  {:<10} {}", "assumed", value.as_str().unwrap_or_default())?;
    }
    writeln!(text, "\nparameters")?;
    for part in ["vision", "projector", "language_model", "mask_decoder", "total"] {
        writeln!(text, "  {part:<16} {:>16}", count(&info["parameters"][part]))?;
    }
    writeln!(text, "\nmask decoder, by variant (the paper's Table 4)")?;
    for variant in ["vit", "llm", "concat", "dsff"] {
        let mark = if info["mask_decoder_variant"] == variant { "  <- this model" } else { "" };
        writeln!(
            text,
            "  {variant:<16} {:>16}{mark}",
            count(&info["mask_decoder_parameters"][variant])
        )?;
    }
    let weights = &info["weights"];
    if weights.is_object() {
        let tensors = count(&weights["tensors"]);
        writeln!(text, "\nweights: {tensors} tensors, {} bytes", count(&weights["bytes"]))?;
        if weights["has_mask_decoder"] == false {
            writeln!(text, "  a base model: it has no mask decoder and must be trained first")?;
        }
        if let Some(rank) = weights["lora_rank"].as_u64() {
            writeln!(text, "  LoRA of rank {rank} and scale {}, separate", weights["lora_scale"])?;
        }
        for note in weights["notes"].as_array().into_iter().flatten() {
            writeln!(text, "  note: {}", note.as_str().unwrap_or_default())?;
        }
    }
    Ok(text)
}
