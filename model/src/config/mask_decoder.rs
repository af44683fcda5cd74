//! `mask_decoder_config`: a section of this project's own.

use serde::{Deserialize, Serialize};

use super::check::{expect, size};

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

/// Sizes of the mask decoder. Its width is the vision encoder's, since T_img1 enters unprojected.
///
/// Published checkpoints do not have this section: its defaults are the published values.
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

impl MaskDecoderConfig {
    /// Whether all values are the published ones, which files leave out.
    pub(super) fn is_published(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn check(&self) -> Result<(), String> {
        size("num_attention_heads", self.num_attention_heads, 1 << 10)?;
        size("dysample_groups", self.dysample_groups, 1 << 10)?;
        expect((0.0..1.0).contains(&self.dropout), "dropout", "0 to less than 1", self.dropout)
    }
}
