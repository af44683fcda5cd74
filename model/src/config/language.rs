//! `llm_config`: the decoder-only language model.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::check::{expect, multiple, positive, size};
use super::rope::RopeScaling;

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
    /// Width of a head, for Qwen3; others have `hidden_size / num_attention_heads`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// Epsilon of the RMS norms.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How positions beyond the trained length are handled.
    #[serde(default)]
    pub rope_scaling: RopeScaling,
    /// Length that the rotary embedding was trained for.
    pub max_position_embeddings: usize,
    /// Whether InternLM2's projections have a bias. Qwen's files do not have this key: q, k
    /// and v of Qwen2 always have one, Qwen3's never.
    #[serde(default = "internlm2_bias")]
    pub bias: bool,
    /// Whether a table that the files leave out is the other one. Published models have two tables
    /// whatever their file says: so has every model here, and `true` is read and not written.
    #[serde(default, skip_serializing)]
    pub tie_word_embeddings: bool,
}

/// The default of the published `InternLM2Config`.
fn internlm2_bias() -> bool {
    true
}

/// The families of decoders under published InternVL models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Architecture {
    /// Packed `wqkv`.
    #[serde(rename = "InternLM2ForCausalLM")]
    InternLm2,
    /// Separate `q_proj`, `k_proj` and `v_proj`.
    #[serde(rename = "Qwen2ForCausalLM")]
    Qwen2,
    /// As Qwen2, with a norm of each query and key head in place of biases.
    #[serde(rename = "Qwen3ForCausalLM")]
    Qwen3,
}

impl Architecture {
    /// Its `model_type`.
    pub(super) fn model_type(self) -> &'static str {
        match self {
            Architecture::InternLm2 => "internlm2",
            Architecture::Qwen2 => "qwen2",
            Architecture::Qwen3 => "qwen3",
        }
    }
}

fn as_list_of_one<S: Serializer>(item: &Architecture, serializer: S) -> Result<S::Ok, S::Error> {
    [item].serialize(serializer)
}

fn from_list_of_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Architecture, D::Error> {
    <[Architecture; 1]>::deserialize(deserializer).map(|[item]| item)
}

impl LanguageConfig {
    /// Width of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads)
    }

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
        match (self.architecture, self.head_dim) {
            (Architecture::Qwen3, Some(head_dim)) => {
                size("head_dim", head_dim, 1 << 12)?;
                multiple("head_dim", head_dim, "2", 2)?;
            }
            (Architecture::Qwen3, None) => return Err("head_dim: missing; Qwen3 needs it".into()),
            (_, found) => {
                multiple("hidden_size", width, "2 * num_attention_heads", 2 * heads)?;
                let expected =
                    format_args!("hidden_size / num_attention_heads = {}", width / heads);
                let head_dim = self.head_dim();
                expect(
                    found.is_none_or(|head_dim| head_dim == width / heads),
                    "head_dim",
                    expected,
                    head_dim,
                )?;
            }
        }
        multiple("num_attention_heads", heads, "num_key_value_heads", self.num_key_value_heads)?;
        positive("rope_theta", self.rope_theta)?;
        positive("rms_norm_eps", self.rms_norm_eps)
    }
}
