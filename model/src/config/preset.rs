//! The sizes of published bases (MLLMSeg checkpoints add two token rows to them).

use std::str::FromStr;

use super::{
    Architecture, LanguageConfig, MaskDecoderConfig, MllmsegConfig, PsVersion, RopeScaling,
    VisionConfig,
};

/// The published bases, and the small model of this project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// InternVL2-2B.
    InternVl2_2b,
    /// InternVL2-8B.
    InternVl2_8b,
    /// InternVL2.5-1B.
    InternVl2_5_1b,
    /// InternVL2.5-2B.
    InternVl2_5_2b,
    /// InternVL2.5-4B.
    InternVl2_5_4b,
    /// InternVL2.5-8B.
    InternVl2_5_8b,
    /// A model of a few million weights, for tests and teaching.
    Tiny,
}

impl Preset {
    /// All presets.
    pub const ALL: [Preset; 7] = [
        Preset::InternVl2_2b,
        Preset::InternVl2_8b,
        Preset::InternVl2_5_1b,
        Preset::InternVl2_5_2b,
        Preset::InternVl2_5_4b,
        Preset::InternVl2_5_8b,
        Preset::Tiny,
    ];

    /// The name used on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Preset::InternVl2_2b => "internvl2-2b",
            Preset::InternVl2_8b => "internvl2-8b",
            Preset::InternVl2_5_1b => "internvl2_5-1b",
            Preset::InternVl2_5_2b => "internvl2_5-2b",
            Preset::InternVl2_5_4b => "internvl2_5-4b",
            Preset::InternVl2_5_8b => "internvl2_5-8b",
            Preset::Tiny => "tiny",
        }
    }

    /// The sizes, `[SEG]` and `[REJ]` included in the vocabulary.
    pub fn config(self) -> MllmsegConfig {
        use Architecture::{InternLm2, Qwen2};
        // (architecture, layers, width, heads, key/value heads, MLP, eps, vocabulary)
        let (architecture, layers, width, heads, kv_heads, mlp, eps, vocab) = match self {
            Preset::InternVl2_5_1b => (Qwen2, 24, 896, 14, 2, 4864, 1e-6, 151_676),
            Preset::InternVl2_2b | Preset::InternVl2_5_2b => {
                (InternLm2, 24, 2048, 16, 8, 8192, 1e-5, 92_555)
            }
            Preset::InternVl2_5_4b => (Qwen2, 36, 2048, 16, 2, 11_008, 1e-6, 151_676),
            Preset::InternVl2_8b | Preset::InternVl2_5_8b => {
                (InternLm2, 32, 4096, 32, 8, 14_336, 1e-5, 92_555)
            }
            Preset::Tiny => (Qwen2, 4, 128, 4, 2, 384, 1e-6, 512),
        };
        let tiny = self == Preset::Tiny;
        let image_size = if tiny { 96 } else { 448 };
        let template = if matches!(self, Preset::InternVl2_2b | Preset::InternVl2_8b) {
            "internlm2-chat"
        } else {
            "internvl2_5"
        };
        MllmsegConfig {
            vision: VisionConfig {
                hidden_size: if tiny { 128 } else { 1024 },
                intermediate_size: if tiny { 384 } else { 4096 },
                num_hidden_layers: if tiny { 4 } else { 24 },
                num_attention_heads: if tiny { 4 } else { 16 },
                patch_size: if tiny { 8 } else { 14 },
                image_size,
                layer_norm_eps: 1e-6,
                qkv_bias: true,
                // Few layers learn sooner when each of them counts from the start.
                initializer_factor: if tiny { 1.0 } else { 0.1 },
                norm_type: None,
                qk_normalization: false,
                hidden_act: None,
            },
            language: LanguageConfig {
                architecture,
                vocab_size: vocab,
                hidden_size: width,
                intermediate_size: mlp,
                num_hidden_layers: layers,
                num_attention_heads: heads,
                num_key_value_heads: kv_heads,
                rms_norm_eps: eps,
                rope_theta: 1e6,
                rope_scaling: RopeScaling::None,
                max_position_embeddings: 32_768,
                bias: false,
            },
            mask_decoder: MaskDecoderConfig {
                num_attention_heads: if tiny { 2 } else { 8 },
                ..MaskDecoderConfig::default()
            },
            image_size,
            downsample_ratio: 0.5,
            ps_version: PsVersion::V2,
            select_layer: -1,
            template: template.into(),
            use_llm_lora: 0,
        }
    }
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Preset::ALL.into_iter().find(|preset| preset.name() == name).ok_or_else(|| {
            let known: Vec<_> = Preset::ALL.iter().map(|preset| preset.name()).collect();
            format!("unknown preset {name:?}; known are {}", known.join(", "))
        })
    }
}
