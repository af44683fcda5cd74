//! `mllmseg info`: what a checkpoint or a published base is made of.

use std::path::PathBuf;

use clap::Args;
use indicatif::HumanCount;
use mllmseg::device;
use mllmseg::model::checkpoint::WeightFiles;
use mllmseg::model::checkpoint::names::is_lora;
use mllmseg::model::mask_decoder::MaskDecoder;
use mllmseg::model::parameters::parameter_count;
use mllmseg::model::{Mllmseg, MllmsegConfig, Preset, Variant};
use serde_json::{Map, Value, json};

use super::CliError;

/// Show sizes and parameter counts of a checkpoint or of a published base
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// Folder of a checkpoint; only its config.json and the headers of its weights are read
    #[arg(required_unless_present = "preset", conflicts_with = "preset")]
    checkpoint: Option<PathBuf>,
    /// internvl2-2b, internvl2-8b, internvl2_5-1b, internvl2_5-2b, internvl2_5-4b, internvl2_5-8b or tiny
    #[arg(long, value_name = "NAME")]
    preset: Option<Preset>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints what there is to know.
pub fn run(arguments: InfoArgs) -> Result<(), CliError> {
    let (name, config, weights) = match (&arguments.checkpoint, arguments.preset) {
        (_, Some(preset)) => (preset.name().to_string(), preset.config(), Value::Null),
        (Some(dir), None) => {
            let config = MllmsegConfig::from_dir(dir)?;
            (dir.display().to_string(), config, weights_json(&WeightFiles::open(dir)?))
        }
        (None, None) => return Err("name a checkpoint folder or a --preset".into()),
    };
    let info = info_json(&name, &config, weights);
    if arguments.json {
        println!("{info:#}");
    } else {
        print_tables(&info);
    }
    Ok(())
}

fn info_json(name: &str, config: &MllmsegConfig, weights: Value) -> Value {
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
        "weights": weights,
    })
}

fn weights_json(files: &WeightFiles) -> Value {
    json!({
        "bytes": files.byte_len(),
        "tensors": files.shapes().count(),
        "has_mask_decoder": files.has_mask_decoder(),
        "lora_rank": files.lora_rank(),
        "lora_tensors": files.shapes().filter(|(name, _)| is_lora(name)).count(),
    })
}

fn print_tables(info: &Value) {
    let count = |value: &Value| HumanCount(value.as_u64().unwrap_or_default()).to_string();
    println!("{}", info["name"].as_str().unwrap_or_default());
    println!("\nsizes");
    let (vision, language) = (&info["config"]["vision_config"], &info["config"]["llm_config"]);
    for (part, sizes) in [("vision", vision), ("language", language)] {
        let kind = sizes["architectures"][0].as_str().unwrap_or_default();
        let [layers, width, heads, mlp] =
            ["num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size"]
                .map(|key| sizes[key].to_string());
        println!("  {part:<10} {kind}: {layers} layers, {width} wide, {heads} heads, MLP {mlp}");
    }
    println!(
        "  {:<10} {} key/value heads, {} tokens",
        "", language["num_key_value_heads"], language["vocab_size"]
    );
    println!(
        "  {:<10} {} pixels a side, {} image tokens, {} pixels of mask a side",
        "image", info["image_size"], info["image_tokens"], info["mask_size"]
    );
    println!("\nparameters");
    for part in ["vision", "projector", "language_model", "mask_decoder", "total"] {
        println!("  {part:<16} {:>16}", count(&info["parameters"][part]));
    }
    println!("\nmask decoder, by variant (the paper's Table 4)");
    for variant in ["vit", "llm", "concat", "dsff"] {
        let mark = if info["mask_decoder_variant"] == variant { "  <- this model" } else { "" };
        println!("  {variant:<16} {:>16}{mark}", count(&info["mask_decoder_parameters"][variant]));
    }
    let weights = &info["weights"];
    if weights.is_object() {
        let tensors = count(&weights["tensors"]);
        println!("\nweights: {tensors} tensors, {} bytes", count(&weights["bytes"]));
        if weights["has_mask_decoder"] == false {
            println!("  a base model: it has no mask decoder and must be trained first");
        }
        if let Some(rank) = weights["lora_rank"].as_u64() {
            println!("  LoRA of rank {rank}, separate");
        }
    }
}
