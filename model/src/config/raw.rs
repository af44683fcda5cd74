//! `config.json` as published checkpoints write it.

use serde::Deserialize;
use serde_json::Value;

use super::{Architecture, LanguageConfig, MaskDecoderConfig, RopeScaling, VisionConfig};

/// `config.json` as it is on disk.
#[derive(Deserialize)]
pub(super) struct RawConfig {
    pub(super) vision_config: VisionConfig,
    pub(super) llm_config: RawLanguageConfig,
    #[serde(default)]
    pub(super) mask_decoder_config: MaskDecoderConfig,
    #[serde(default)]
    pub(super) force_image_size: Option<usize>,
    #[serde(default = "half")]
    pub(super) downsample_ratio: f64,
    #[serde(default = "ps_version_default")]
    pub(super) ps_version: String,
    #[serde(default = "last_layer")]
    pub(super) select_layer: i64,
    pub(super) template: String,
    #[serde(default)]
    pub(super) use_llm_lora: usize,
}

#[derive(Deserialize)]
pub(super) struct RawLanguageConfig {
    #[serde(default)]
    pub(super) architectures: Option<Vec<String>>,
    #[serde(default)]
    pub(super) model_type: Option<String>,
    pub(super) vocab_size: usize,
    pub(super) hidden_size: usize,
    pub(super) intermediate_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    #[serde(default)]
    pub(super) num_key_value_heads: Option<usize>,
    #[serde(default = "default_rms_norm_eps")]
    pub(super) rms_norm_eps: f64,
    #[serde(default = "default_rope_theta")]
    pub(super) rope_theta: f64,
    #[serde(default)]
    pub(super) rope_scaling: Option<Value>,
    #[serde(default = "default_max_position_embeddings")]
    pub(super) max_position_embeddings: usize,
    #[serde(default = "yes")]
    pub(super) bias: bool,
    #[serde(default)]
    pub(super) hidden_act: Option<String>,
}

// Defaults are those of the classes in the published checkpoints' own code.
pub(super) fn yes() -> bool {
    true
}
pub(super) fn fourteen() -> usize {
    14
}
pub(super) fn tenth() -> f64 {
    0.1
}
fn half() -> f64 {
    0.5
}
fn last_layer() -> i64 {
    -1
}
fn ps_version_default() -> String {
    "v1".into()
}
pub(super) fn default_layer_norm_eps() -> f64 {
    1e-6
}
fn default_rms_norm_eps() -> f64 {
    1e-6
}
fn default_rope_theta() -> f64 {
    10_000.0
}
fn default_max_position_embeddings() -> usize {
    2048
}

impl Architecture {
    pub(super) fn of(raw: &RawLanguageConfig) -> Result<Self, String> {
        let named = raw.architectures.as_ref().and_then(|names| names.first());
        match (named.map(String::as_str), raw.model_type.as_deref()) {
            (Some("InternLM2ForCausalLM"), _) | (None, Some("internlm2")) => Ok(Self::InternLm2),
            (Some("Qwen2ForCausalLM"), _) | (None, Some("qwen2")) => Ok(Self::Qwen2),
            (Some(other), _) | (None, Some(other)) => Err(other.to_string()),
            (None, None) => Err("nothing".to_string()),
        }
    }
}

impl RawLanguageConfig {
    pub(super) fn resolve(self, architecture: Architecture) -> Result<LanguageConfig, String> {
        if self.hidden_act.as_deref().is_some_and(|act| act != "silu") {
            return Err(format!(
                "llm_config.hidden_act: expected silu, found {:?}",
                self.hidden_act
            ));
        }
        Ok(LanguageConfig {
            architecture,
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            num_key_value_heads: self.num_key_value_heads.unwrap_or(self.num_attention_heads),
            rms_norm_eps: self.rms_norm_eps,
            rope_theta: self.rope_theta,
            rope_scaling: RopeScaling::from_json(self.rope_scaling.as_ref())?,
            max_position_embeddings: self.max_position_embeddings,
            bias: self.bias,
        })
    }
}

impl RopeScaling {
    fn from_json(value: Option<&Value>) -> Result<Self, String> {
        let Some(value) = value.filter(|value| !value.is_null()) else {
            return Ok(RopeScaling::None);
        };
        let kind = value.get("type").or_else(|| value.get("rope_type")).and_then(Value::as_str);
        let factor = value.get("factor").and_then(Value::as_f64);
        match (kind, factor) {
            (Some("default"), _) => Ok(RopeScaling::None),
            (Some("linear"), Some(factor)) if factor >= 1.0 => Ok(RopeScaling::Linear(factor)),
            (Some("dynamic"), Some(factor)) if factor >= 1.0 => Ok(RopeScaling::Dynamic(factor)),
            _ => Err(format!(
                "llm_config.rope_scaling: expected type linear or dynamic with a factor of at least 1, found {value}"
            )),
        }
    }
}
