//! Sizes: read from a checkpoint's `config.json`, or from a preset of a published base.

mod json;
mod preset;
mod raw;
mod validate;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use preset::Preset;
use raw::RawConfig;

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
    #[serde(default = "raw::fourteen")]
    pub patch_size: usize,
    /// Side in pixels of the images the position embeddings were made for.
    pub image_size: usize,
    /// Epsilon of the layer norms.
    #[serde(default = "raw::default_layer_norm_eps")]
    pub layer_norm_eps: f64,
    /// Whether the packed query, key and value projection has a bias.
    #[serde(default = "raw::yes")]
    pub qkv_bias: bool,
    /// What LayerScale starts at where there are no weights yet.
    #[serde(default = "raw::tenth")]
    pub initializer_factor: f64,
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
}
