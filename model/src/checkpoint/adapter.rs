//! `adapter_config.json`: the scale of separate adapters, as PEFT writes it.

use std::path::Path;

use serde_json::{Value, json};

use super::error::CheckpointError;
use super::layout::Tensors;
use super::read::read_text;
use super::targets::Targets;
use super::write::write_json;
use crate::lora::LoraConfig;

const FILE: &str = "adapter_config.json";

/// Keys of PEFT that change what an adapter computes, and that this network does not have.
const REFUSED: [&str; 17] = [
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "fan_in_fan_out",
    "lora_bias",
    "modules_to_save",
    "rank_pattern",
    "alpha_pattern",
    "layer_replication",
    "trainable_token_indices",
    "target_parameters",
    "alora_invocation_tokens",
    "arrow_config",
    "megatron_config",
    "kasa_config",
    "monteclora_config",
    "velora_config",
];

/// Values of `init_lora_weights` that leave the base as it is. PiSSA, OLoRA, CorDA, LoRA-GA and LoftQ take
/// the first factors out of its weights.
const PLAIN_INITS: [&str; 4] = ["gaussian", "eva", "orthogonal", "mica"];

/// The separate adapters of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adapter {
    /// Rank and scale. A rank-stabilised scale is here the `alpha` that gives it.
    pub lora: LoraConfig,
    /// Whether the scale is that of the published code, since no file says it.
    pub scale_is_assumed: bool,
}

/// The adapters among the tensors of a folder, with the scale that the folder names. Published
/// checkpoints name none: their code has `alpha = 2 r`.
pub(super) fn read_adapter(
    dir: &Path,
    tensors: &Tensors,
) -> Result<Option<Adapter>, CheckpointError> {
    let Some((name, factor)) = tensors.iter().find(|(name, _)| name.contains(".lora_A.")) else {
        return Ok(None);
    };
    let Some(rank) = factor.shape.first().copied().filter(|&rank| rank > 0) else {
        let message = format!("tensor {name}: expected [rank, in], found {:?}", &factor.shape[..]);
        return Err(CheckpointError::unusable(dir, message));
    };
    let Some(config) = read_config(dir)? else {
        let lora = LoraConfig::published(rank);
        return Ok(Some(Adapter { lora, scale_is_assumed: true }));
    };
    let alpha = alpha(&config, rank);
    let alpha = alpha.map_err(|text| CheckpointError::unusable(dir.join(FILE), text))?;
    let lora = LoraConfig { alpha, ..LoraConfig::published(rank) };
    Ok(Some(Adapter { lora, scale_is_assumed: false }))
}

/// The layers that the adapter of a folder is for; `None` without a configuration.
pub(super) fn read_targets(dir: &Path) -> Result<Option<Targets>, CheckpointError> {
    let Some(config) = read_config(dir)? else {
        return Ok(None);
    };
    let targets = check_kind(&config).and_then(|()| Targets::read(&config));
    targets.map(Some).map_err(|text| CheckpointError::unusable(dir.join(FILE), text))
}

fn read_config(dir: &Path) -> Result<Option<Value>, CheckpointError> {
    let path = dir.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let text = read_text(&path, 1 << 20).map_err(CheckpointError::io(&path))?;
    let config = serde_json::from_str(&text);
    config.map(Some).map_err(|error| CheckpointError::malformed(&path, error))
}

/// Refuses the kinds of adapters that this network does not compute.
fn check_kind(config: &Value) -> Result<(), String> {
    if config["peft_type"] != "LORA" {
        return Err(format!("peft_type: expected \"LORA\", found {}", config["peft_type"]));
    }
    let init = &config["init_lora_weights"];
    let is_plain = init.is_null() || init.is_boolean();
    if !is_plain && !init.as_str().is_some_and(|init| PLAIN_INITS.contains(&&*init.to_lowercase()))
    {
        return Err(format!(
            "init_lora_weights: {init} changes the base's weights as well, which are not in this file; save the \
             adapter with path_initial_model_for_weight_conversion, or merge it with PEFT"
        ));
    }
    for key in REFUSED {
        let is_off = match &config[key] {
            Value::Null | Value::Bool(false) => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(items) => items.is_empty(),
            _ => false,
        };
        if !is_off {
            let found = &config[key];
            return Err(format!(
                "{key}: this kind of adapter is not supported, found {found}; merge it with PEFT"
            ));
        }
    }
    Ok(())
}

/// The `alpha` of a configuration whose adapters have this rank.
fn alpha(config: &Value, rank: usize) -> Result<f64, String> {
    check_kind(config)?;
    if config["r"].as_u64() != Some(rank as u64) {
        let found = &config["r"];
        return Err(format!("r: expected {rank}, the rank of the weights, found {found}"));
    }
    let found = &config["lora_alpha"];
    let alpha = found.as_f64().filter(|alpha| alpha.is_finite() && *alpha > 0.0);
    let alpha = alpha.ok_or(format!(
        "lora_alpha: expected a positive number, which the adapters' scale needs, found {found}"
    ))?;
    match &config["use_rslora"] {
        Value::Null | Value::Bool(false) => Ok(alpha),
        Value::Bool(true) => Ok(alpha * (rank as f64).sqrt()), // the scale is alpha / sqrt(r)
        found => Err(format!("use_rslora: expected true or false, found {found}")),
    }
}

/// Records the scale of saved adapters where the published code's 2 would be wrong, or where the
/// folder has a record already.
///
/// Not always: transformers takes a folder with this file for an adapter without its base.
pub(super) fn write_adapter(lora: LoraConfig, dir: &Path) -> Result<(), CheckpointError> {
    let path = dir.join(FILE);
    if lora.alpha == LoraConfig::published(lora.rank).alpha && !path.exists() {
        return Ok(());
    }
    let config = json!({
        "peft_type": "LORA",
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "use_rslora": false,
        "target_modules": "all-linear",
    });
    write_json(&config, &path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PEFT's `LoraLayer.update_layer`: `alpha / r`, or `alpha / sqrt(r)` where rank-stabilised.
    #[test]
    fn the_scale_is_that_of_peft() {
        let config =
            |rslora| json!({ "peft_type": "LORA", "r": 16, "lora_alpha": 8, "use_rslora": rslora });
        assert_eq!(alpha(&config(false), 16).map(|alpha| alpha / 16.0), Ok(0.5));
        assert_eq!(alpha(&config(true), 16).map(|alpha| alpha / 16.0), Ok(2.0));
    }

    #[test]
    fn what_has_another_meaning_is_refused_by_its_key() {
        let refused = [
            ("peft_type", json!("ADALORA")),
            ("use_dora", json!(true)),
            ("modules_to_save", json!(["lm_head"])),
            ("alpha_pattern", json!({ "q_proj": 4 })),
            ("r", json!(8)),
            ("lora_alpha", json!("16")),
            ("lora_alpha", json!(0)),
            ("use_rslora", json!("yes")),
        ];
        for (key, value) in refused {
            let mut config =
                json!({ "peft_type": "LORA", "r": 4, "lora_alpha": 8, "modules_to_save": null });
            assert_eq!(alpha(&config, 4), Ok(8.0));
            config[key] = value;
            assert!(alpha(&config, 4).unwrap_err().contains(key));
        }
    }
}
