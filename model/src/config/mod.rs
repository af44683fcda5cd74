//! Sizes: read from a checkpoint's `config.json`, or from a preset of a published base.

mod json;
mod preset;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

pub use preset::Preset;

/// Everything that decides the shapes of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct MllmsegConfig {
    /// The vision encoder, InternViT.
    pub vision: VisionConfig,
    /// The language model.
    pub language: LanguageConfig,
    /// The mask decoder.
    pub mask_decoder: MaskDecoderConfig,
    /// Side of the square input image in pixels (`force_image_size`).
    pub image_size: usize,
    /// Space-to-depth ratio between patches and language tokens, per side (`downsample_ratio`).
    pub downsample_ratio: f64,
    /// Order of the space-to-depth squares (`ps_version`).
    pub ps_version: PsVersion,
    /// Which vision layer's output is used: -1 the last, 0 the embeddings (`select_layer`).
    pub select_layer: i64,
    /// Name of the chat template (`template`).
    pub template: String,
    /// Rank of the language model's LoRA (`use_llm_lora`), 0 for none.
    pub use_llm_lora: usize,
}

/// Sizes of InternViT (`vision_config`).
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct VisionConfig {
    /// Width.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Side of a patch in pixels.
    #[serde(default = "fourteen")]
    pub patch_size: usize,
    /// Side in pixels of the images the position embeddings were made for.
    pub image_size: usize,
    /// Epsilon of the layer norms.
    #[serde(default = "default_layer_norm_eps")]
    pub layer_norm_eps: f64,
    /// Whether the packed query, key and value projection has a bias.
    #[serde(default = "yes")]
    pub qkv_bias: bool,
    #[serde(default)]
    norm_type: Option<String>,
    #[serde(default)]
    qk_normalization: bool,
    #[serde(default)]
    hidden_act: Option<String>,
}

/// Sizes of the language model (`llm_config`).
#[derive(Debug, Clone, PartialEq)]
pub struct LanguageConfig {
    /// Which decoder it is.
    pub architecture: Architecture,
    /// Rows of the token table, [SEG] and [REJ] included where the checkpoint has them.
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
    pub rope_scaling: RopeScaling,
    /// Length the rotary embedding was trained for.
    pub max_position_embeddings: usize,
    /// Whether InternLM2's projections have a bias (`bias`); Qwen2's q, k, v always do.
    pub bias: bool,
}

/// The two families of decoders under published InternVL models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Architecture {
    /// `InternLM2ForCausalLM`: packed `wqkv`.
    InternLm2,
    /// `Qwen2ForCausalLM`: separate `q_proj`, `k_proj`, `v_proj`.
    Qwen2,
}

/// `rope_scaling` of the language model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    /// Positions as they are.
    None,
    /// Positions divided by the factor.
    Linear(f64),
    /// NTK-aware: the base grows once a sequence is longer than `max_position_embeddings`.
    Dynamic(f64),
}

/// Order of the squares in space-to-depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PsVersion {
    /// Column by column, an early mistake that some weights are trained with.
    V1,
    /// Row by row.
    V2,
}

/// The four decoders of the paper's Table 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// T_img1 only.
    Vit,
    /// T_img2 only.
    Llm,
    /// T_img1 and T_img4 side by side, without cross-attention between them.
    Concat,
    /// The model: T_vl, T_img1 and T_img4.
    Dsff,
}

impl Variant {
    /// All variants, in the order of Table 4.
    pub const ALL: [Variant; 4] = [Variant::Vit, Variant::Llm, Variant::Concat, Variant::Dsff];

    /// The name used in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Variant::Vit => "vit",
            Variant::Llm => "llm",
            Variant::Concat => "concat",
            Variant::Dsff => "dsff",
        }
    }

    /// Whether T_img2 is used.
    pub fn uses_language_tokens(self) -> bool {
        self != Variant::Vit
    }

    /// How many maps of width `c` the adapter of Eq. 13 joins.
    pub fn maps(self) -> usize {
        match self {
            Variant::Vit | Variant::Llm => 1,
            Variant::Concat => 2,
            Variant::Dsff => 3,
        }
    }
}

/// Sizes of the mask decoder; its width is the vision encoder's, since T_img1 enters unprojected.
///
/// Published checkpoints do not write these down: the published values are the defaults, and
/// `config.json` may carry others under `mask_decoder_config`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaskDecoderConfig {
    /// Which of Table 4's decoders.
    pub variant: Variant,
    /// Heads of both attention layers.
    pub num_attention_heads: usize,
    /// Channel groups that DySample samples independently.
    pub dysample_groups: usize,
    /// Dropout inside the attention layers, in training only.
    pub dropout: f64,
}

impl Default for MaskDecoderConfig {
    fn default() -> Self {
        Self { variant: Variant::Dsff, num_attention_heads: 8, dysample_groups: 4, dropout: 0.1 }
    }
}

/// Why a `config.json` cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "cannot read {path}: {source}; a checkpoint folder holds config.json, tokenizer files and weights"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is not the JSON that is expected.
    #[error("{path}: {message}")]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        message: String,
    },
    /// A language model that is not implemented.
    #[error(
        "{path}: unknown architecture {found:?} in llm_config; expected InternLM2ForCausalLM or Qwen2ForCausalLM"
    )]
    Architecture {
        /// The file.
        path: PathBuf,
        /// What the file says.
        found: String,
    },
    /// A value that does not fit the others.
    #[error("{path}: {message}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The field, what was expected and what was found.
        message: String,
    },
}

impl MllmsegConfig {
    /// Reads `config.json` of a checkpoint folder.
    pub fn from_dir(dir: &Path) -> Result<Self, ConfigError> {
        const MAX_BYTES: u64 = 16 << 20;
        let path = dir.join("config.json");
        let read = |source| ConfigError::Read { path: path.clone(), source };
        let size = std::fs::metadata(&path).map_err(read)?.len();
        if size > MAX_BYTES {
            let message = format!("expected at most {MAX_BYTES} bytes, found {size}");
            return Err(ConfigError::Value { path, message });
        }
        let text = std::fs::read_to_string(&path).map_err(read)?;
        Self::from_json(&text, &path)
    }

    /// Parses the text of a `config.json`; `path` is only named in errors.
    pub fn from_json(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let json = |error: serde_json::Error| ConfigError::Json {
            path: path.to_path_buf(),
            message: error.to_string(),
        };
        let value_error =
            |message: String| ConfigError::Value { path: path.to_path_buf(), message };
        let raw: RawConfig = serde_json::from_str(text).map_err(json)?;
        let architecture = Architecture::of(&raw.llm_config)
            .map_err(|found| ConfigError::Architecture { path: path.to_path_buf(), found })?;
        let ps_version = match raw.ps_version.as_str() {
            "v1" => PsVersion::V1,
            "v2" => PsVersion::V2,
            other => {
                return Err(value_error(format!("ps_version: expected v1 or v2, found {other:?}")));
            }
        };
        let config = Self {
            image_size: raw.force_image_size.unwrap_or(raw.vision_config.image_size),
            vision: raw.vision_config,
            language: raw.llm_config.resolve(architecture).map_err(value_error)?,
            mask_decoder: raw.mask_decoder_config,
            downsample_ratio: raw.downsample_ratio,
            ps_version,
            select_layer: raw.select_layer,
            template: raw.template,
            use_llm_lora: raw.use_llm_lora,
        };
        config.validate().map_err(value_error)?;
        Ok(config)
    }

    /// Patches per side of the image (32 in published models).
    pub fn patches_per_side(&self) -> usize {
        self.image_size / self.vision.patch_size
    }

    /// Patches per side that make one language token (2 in published models).
    pub fn tokens_per_side_ratio(&self) -> usize {
        (1.0 / self.downsample_ratio).round() as usize
    }

    /// Language tokens per image, `l` (256 in published models).
    pub fn num_image_tokens(&self) -> usize {
        (self.patches_per_side() / self.tokens_per_side_ratio()).pow(2)
    }

    /// Side of a predicted mask in pixels (448 in published models).
    pub fn mask_size(&self) -> usize {
        self.patches_per_side() * self.vision.patch_size
    }

    fn validate(&self) -> Result<(), String> {
        let (vision, language, decoder) = (&self.vision, &self.language, &self.mask_decoder);
        for (name, value, most) in [
            ("vision_config.hidden_size", vision.hidden_size, 1 << 16),
            ("vision_config.intermediate_size", vision.intermediate_size, 1 << 18),
            ("vision_config.num_hidden_layers", vision.num_hidden_layers, 1 << 10),
            ("vision_config.num_attention_heads", vision.num_attention_heads, 1 << 10),
            ("vision_config.patch_size", vision.patch_size, 1 << 10),
            ("vision_config.image_size", vision.image_size, 1 << 14),
            ("force_image_size", self.image_size, 1 << 14),
            ("llm_config.vocab_size", language.vocab_size, 1 << 24),
            ("llm_config.hidden_size", language.hidden_size, 1 << 16),
            ("llm_config.intermediate_size", language.intermediate_size, 1 << 18),
            ("llm_config.num_hidden_layers", language.num_hidden_layers, 1 << 10),
            ("llm_config.num_attention_heads", language.num_attention_heads, 1 << 10),
            ("llm_config.num_key_value_heads", language.num_key_value_heads, 1 << 10),
            ("llm_config.max_position_embeddings", language.max_position_embeddings, 1 << 28),
            ("mask_decoder_config.num_attention_heads", decoder.num_attention_heads, 1 << 10),
            ("mask_decoder_config.dysample_groups", decoder.dysample_groups, 1 << 10),
        ] {
            if value == 0 || value > most {
                return Err(format!("{name}: expected 1 to {most}, found {value}"));
            }
        }
        for (name, whole, part_name, part) in [
            (
                "vision_config.hidden_size",
                vision.hidden_size,
                "num_attention_heads",
                vision.num_attention_heads,
            ),
            (
                "llm_config.hidden_size",
                language.hidden_size,
                "2 * num_attention_heads",
                2 * language.num_attention_heads,
            ),
            (
                "llm_config.num_attention_heads",
                language.num_attention_heads,
                "num_key_value_heads",
                language.num_key_value_heads,
            ),
            (
                "vision_config.hidden_size",
                vision.hidden_size,
                "mask decoder heads",
                decoder.num_attention_heads,
            ),
            (
                "vision_config.hidden_size",
                vision.hidden_size,
                "dysample_groups",
                decoder.dysample_groups,
            ),
            ("force_image_size", self.image_size, "patch_size", vision.patch_size),
            ("vision_config.image_size", vision.image_size, "patch_size", vision.patch_size),
        ] {
            if !whole.is_multiple_of(part) {
                return Err(format!(
                    "{name}: expected a multiple of {part_name} = {part}, found {whole}"
                ));
            }
        }
        if !(self.downsample_ratio > 0.0 && self.downsample_ratio <= 1.0) {
            return Err(format!(
                "downsample_ratio: expected 0 to 1, found {}",
                self.downsample_ratio
            ));
        }
        let (side, ratio) = (self.patches_per_side(), self.tokens_per_side_ratio());
        if !side.is_multiple_of(ratio) {
            return Err(format!(
                "force_image_size: {side} patches per side do not divide by {ratio}"
            ));
        }
        if self.use_llm_lora > language.hidden_size {
            return Err(format!(
                "use_llm_lora: expected at most {}, found {}",
                language.hidden_size, self.use_llm_lora
            ));
        }
        self.validate_kinds()
    }

    fn validate_kinds(&self) -> Result<(), String> {
        let vision = &self.vision;
        let layers = vision.num_hidden_layers as i64;
        if self.select_layer > layers || self.select_layer < -layers - 1 {
            return Err(format!(
                "select_layer: expected {} to {layers}, found {}",
                -layers - 1,
                self.select_layer
            ));
        }
        if vision.qk_normalization || vision.norm_type.as_deref().is_some_and(|n| n != "layer_norm")
        {
            return Err("vision_config: expected norm_type layer_norm without qk_normalization (InternViT-300M); InternViT-6B is not supported".into());
        }
        if vision.hidden_act.as_deref().is_some_and(|act| act != "gelu") {
            return Err(format!(
                "vision_config.hidden_act: expected gelu, found {:?}",
                vision.hidden_act
            ));
        }
        for (name, value) in [
            ("llm_config.rope_theta", self.language.rope_theta),
            ("llm_config.rms_norm_eps", self.language.rms_norm_eps),
            ("vision_config.layer_norm_eps", vision.layer_norm_eps),
        ] {
            if !(value.is_finite() && value > 0.0) {
                return Err(format!("{name}: expected a positive number, found {value}"));
            }
        }
        Ok(())
    }
}

/// `config.json` as it is on disk.
#[derive(Deserialize)]
struct RawConfig {
    vision_config: VisionConfig,
    llm_config: RawLanguageConfig,
    #[serde(default)]
    mask_decoder_config: MaskDecoderConfig,
    #[serde(default)]
    force_image_size: Option<usize>,
    #[serde(default = "half")]
    downsample_ratio: f64,
    #[serde(default = "ps_version_default")]
    ps_version: String,
    #[serde(default = "last_layer")]
    select_layer: i64,
    template: String,
    #[serde(default)]
    use_llm_lora: usize,
}

#[derive(Deserialize)]
struct RawLanguageConfig {
    #[serde(default)]
    architectures: Option<Vec<String>>,
    #[serde(default)]
    model_type: Option<String>,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    #[serde(default)]
    num_key_value_heads: Option<usize>,
    #[serde(default = "default_rms_norm_eps")]
    rms_norm_eps: f64,
    #[serde(default = "default_rope_theta")]
    rope_theta: f64,
    #[serde(default)]
    rope_scaling: Option<Value>,
    #[serde(default = "default_max_position_embeddings")]
    max_position_embeddings: usize,
    #[serde(default = "yes")]
    bias: bool,
    #[serde(default)]
    hidden_act: Option<String>,
}

// Defaults are those of the classes in the published checkpoints' own code.
fn yes() -> bool {
    true
}
fn fourteen() -> usize {
    14
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
fn default_layer_norm_eps() -> f64 {
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
    fn of(raw: &RawLanguageConfig) -> Result<Self, String> {
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
    fn resolve(self, architecture: Architecture) -> Result<LanguageConfig, String> {
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
