//! `llm_config`: the decoder-only language model.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use super::check::{multiple, positive, size};

/// Sizes of the language model (`llm_config`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LanguageConfig {
    /// Which decoder it is (`architectures`, a list of one).
    #[serde(
        rename = "architectures",
        serialize_with = "as_list_of_one",
        deserialize_with = "from_list_of_one"
    )]
    pub architecture: Architecture,
    /// Rows of the token table, `[SEG]` and `[REJ]` included where the checkpoint has them.
    pub vocab_size: usize,
    /// Width.
    pub hidden_size: usize,
    /// Width of the SwiGLU MLP.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads.
    pub num_key_value_heads: usize,
    /// Epsilon of the RMS norms.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How positions beyond the trained length are handled.
    #[serde(default)]
    pub rope_scaling: RopeScaling,
    /// Length that the rotary embedding was trained for.
    pub max_position_embeddings: usize,
    /// Whether InternLM2's projections have a bias. Qwen2's files do not have this key: its q, k
    /// and v always have one.
    #[serde(default = "internlm2_bias")]
    pub bias: bool,
}

/// The default of the published `InternLM2Config`.
fn internlm2_bias() -> bool {
    true
}

/// The two families of decoders under published InternVL models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Architecture {
    /// Packed `wqkv`.
    #[serde(rename = "InternLM2ForCausalLM")]
    InternLm2,
    /// Separate `q_proj`, `k_proj` and `v_proj`.
    #[serde(rename = "Qwen2ForCausalLM")]
    Qwen2,
}

impl Architecture {
    /// Its `model_type`.
    pub(super) fn model_type(self) -> &'static str {
        match self {
            Architecture::InternLm2 => "internlm2",
            Architecture::Qwen2 => "qwen2",
        }
    }
}

fn as_list_of_one<S: Serializer>(item: &Architecture, serializer: S) -> Result<S::Ok, S::Error> {
    [item].serialize(serializer)
}

fn from_list_of_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Architecture, D::Error> {
    <[Architecture; 1]>::deserialize(deserializer).map(|[item]| item)
}

/// `rope_scaling` of the language model.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum RopeScaling {
    /// Positions as they are.
    #[default]
    None,
    /// Positions divided by the factor.
    Linear(f64),
    /// NTK-aware: the base grows once a sequence is longer than `max_position_embeddings`.
    Dynamic(f64),
}

impl TryFrom<Value> for RopeScaling {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        if value.is_null() {
            return Ok(Self::None);
        }
        let kind = value.get("type").or_else(|| value.get("rope_type")).and_then(Value::as_str);
        let factor = value.get("factor").and_then(Value::as_f64);
        match (kind, factor) {
            (Some("default"), _) => Ok(Self::None),
            (Some("linear"), Some(factor)) if factor >= 1.0 => Ok(Self::Linear(factor)),
            (Some("dynamic"), Some(factor)) if factor >= 1.0 => Ok(Self::Dynamic(factor)),
            _ => Err(format!(
                "expected type linear or dynamic with a factor of at least 1, found {value}"
            )),
        }
    }
}

impl From<RopeScaling> for Value {
    fn from(scaling: RopeScaling) -> Self {
        match scaling {
            RopeScaling::None => Value::Null,
            RopeScaling::Linear(factor) => json!({ "type": "linear", "factor": factor }),
            RopeScaling::Dynamic(factor) => json!({ "type": "dynamic", "factor": factor }),
        }
    }
}

impl LanguageConfig {
    /// Whether the rotation of early positions changes with the length of the whole sequence, so
    /// that keys of a prefix cannot be kept for continuations of different lengths.
    pub fn rope_depends_on_length(&self, total_length: usize) -> bool {
        matches!(self.rope_scaling, RopeScaling::Dynamic(_))
            && total_length > self.max_position_embeddings
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let (width, heads) = (self.hidden_size, self.num_attention_heads);
        size("vocab_size", self.vocab_size, 1 << 24)?;
        size("hidden_size", width, 1 << 16)?;
        size("intermediate_size", self.intermediate_size, 1 << 18)?;
        size("num_hidden_layers", self.num_hidden_layers, 1 << 10)?;
        size("num_attention_heads", heads, 1 << 10)?;
        size("num_key_value_heads", self.num_key_value_heads, 1 << 10)?;
        size("max_position_embeddings", self.max_position_embeddings, 1 << 28)?;
        multiple("hidden_size", width, "2 * num_attention_heads", 2 * heads)?;
        multiple("num_attention_heads", heads, "num_key_value_heads", self.num_key_value_heads)?;
        positive("rope_theta", self.rope_theta)?;
        positive("rms_norm_eps", self.rms_norm_eps)
    }
}
