//! `vision_config`: InternViT.

use serde::{Deserialize, Serialize};

use super::check::{multiple, positive, size};

/// Sizes of InternViT (`vision_config`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    pub patch_size: usize,
    /// Side in pixels of the images that the position embeddings were made for.
    pub image_size: usize,
    /// Epsilon of the layer norms.
    pub layer_norm_eps: f64,
    /// Whether the packed query, key and value projection has a bias.
    pub qkv_bias: bool,
    /// Initial value of LayerScale in a model without weights. It is optional: loaded weights do
    /// not depend on it.
    #[serde(default = "published_initializer_factor")]
    pub initializer_factor: f64,
}

/// The default of the published `InternVisionConfig`.
fn published_initializer_factor() -> f64 {
    0.1
}

impl VisionConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        size("hidden_size", self.hidden_size, 1 << 16)?;
        size("intermediate_size", self.intermediate_size, 1 << 18)?;
        size("num_hidden_layers", self.num_hidden_layers, 1 << 10)?;
        size("num_attention_heads", self.num_attention_heads, 1 << 10)?;
        size("patch_size", self.patch_size, 1 << 10)?;
        size("image_size", self.image_size, 1 << 14)?;
        multiple("hidden_size", self.hidden_size, "num_attention_heads", self.num_attention_heads)?;
        multiple("image_size", self.image_size, "patch_size", self.patch_size)?;
        positive("layer_norm_eps", self.layer_norm_eps)
    }
}
