//! The sizes of published bases (MLLMSeg checkpoints add two token rows to them).

use std::str::FromStr;

use super::language::Architecture::{self, InternLm2, Qwen2, Qwen3};
use super::language::LanguageConfig;
use super::mask_decoder::MaskDecoderConfig;
use super::mllmseg::{MllmsegConfig, PsVersion};
use super::rope::RopeScaling;
use super::vision::VisionConfig;

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
    /// InternVL3-1B.
    InternVl3_1b,
    /// InternVL3-2B.
    InternVl3_2b,
    /// InternVL3-8B.
    InternVl3_8b,
    /// InternVL3.5-1B.
    InternVl3_5_1b,
    /// InternVL3.5-2B.
    InternVl3_5_2b,
    /// InternVL3.5-4B.
    InternVl3_5_4b,
    /// InternVL3.5-8B.
    InternVl3_5_8b,
    /// A model of a few million weights, for tests and teaching.
    Tiny,
}

/// (name, decoder, layers, width, heads, key/value heads, MLP, epsilon, vocabulary)
type Row = (&'static str, Architecture, usize, usize, usize, usize, usize, f64, usize);

impl Preset {
    /// All presets.
    pub const ALL: [Preset; 14] = [
        Preset::InternVl2_2b,
        Preset::InternVl2_8b,
        Preset::InternVl2_5_1b,
        Preset::InternVl2_5_2b,
        Preset::InternVl2_5_4b,
        Preset::InternVl2_5_8b,
        Preset::InternVl3_1b,
        Preset::InternVl3_2b,
        Preset::InternVl3_8b,
        Preset::InternVl3_5_1b,
        Preset::InternVl3_5_2b,
        Preset::InternVl3_5_4b,
        Preset::InternVl3_5_8b,
        Preset::Tiny,
    ];

    fn row(self) -> Row {
        use Preset::*;
        match self {
            InternVl2_2b => ("internvl2-2b", InternLm2, 24, 2048, 16, 8, 8192, 1e-5, 92_555),
            InternVl2_8b => ("internvl2-8b", InternLm2, 32, 4096, 32, 8, 14_336, 1e-5, 92_555),
            InternVl2_5_1b => ("internvl2_5-1b", Qwen2, 24, 896, 14, 2, 4864, 1e-6, 151_676),
            InternVl2_5_2b => ("internvl2_5-2b", InternLm2, 24, 2048, 16, 8, 8192, 1e-5, 92_555),
            InternVl2_5_4b => ("internvl2_5-4b", Qwen2, 36, 2048, 16, 2, 11_008, 1e-6, 151_676),
            InternVl2_5_8b => ("internvl2_5-8b", InternLm2, 32, 4096, 32, 8, 14_336, 1e-5, 92_555),
            InternVl3_1b => ("internvl3-1b", Qwen2, 24, 896, 14, 2, 4864, 1e-6, 151_676),
            InternVl3_2b => ("internvl3-2b", Qwen2, 28, 1536, 12, 2, 8960, 1e-6, 151_676),
            InternVl3_8b => ("internvl3-8b", Qwen2, 28, 3584, 28, 4, 18_944, 1e-6, 151_676),
            InternVl3_5_1b => ("internvl3_5-1b", Qwen3, 28, 1024, 16, 8, 3072, 1e-6, 151_936),
            InternVl3_5_2b => ("internvl3_5-2b", Qwen3, 28, 2048, 16, 8, 6144, 1e-6, 151_936),
            InternVl3_5_4b => ("internvl3_5-4b", Qwen3, 36, 2560, 32, 8, 9728, 1e-6, 151_936),
            InternVl3_5_8b => ("internvl3_5-8b", Qwen3, 36, 4096, 32, 8, 12_288, 1e-6, 151_936),
            Tiny => ("tiny", Qwen2, 4, 128, 4, 2, 384, 1e-6, 512),
        }
    }

    /// Published for lengths above the trained 32,768, far above those of a conversation about one image.
    fn rope_scaling(self) -> RopeScaling {
        match self {
            Self::InternVl2_5_1b | Self::InternVl2_5_4b | Self::Tiny => RopeScaling::None,
            _ if self.row().1 == Qwen3 => RopeScaling::None,
            _ => RopeScaling::Dynamic(2.0),
        }
    }

    /// The name used on the command line.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// The sizes, `[SEG]` and `[REJ]` included in the vocabulary. Tables of InternVL3.5 are longer than
    /// its tokenizer with both, and are not grown.
    pub fn config(self) -> MllmsegConfig {
        let (_, architecture, layers, width, heads, kv_heads, mlp, eps, vocab) = self.row();
        let vision = if self == Self::Tiny { tiny_vision() } else { internvit_300m() };
        let decoder_heads = if self == Self::Tiny { 2 } else { 8 };
        let template = match self {
            Self::InternVl2_2b | Self::InternVl2_8b => "internlm2-chat",
            _ => "internvl2_5",
        };
        MllmsegConfig {
            image_size: vision.image_size,
            vision,
            language: LanguageConfig {
                architecture,
                vocab_size: vocab,
                hidden_size: width,
                intermediate_size: mlp,
                num_hidden_layers: layers,
                num_attention_heads: heads,
                num_key_value_heads: kv_heads,
                head_dim: (architecture == Qwen3).then_some(128),
                rms_norm_eps: eps,
                rope_theta: 1e6,
                rope_scaling: self.rope_scaling(),
                max_position_embeddings: if architecture == Qwen3 { 40_960 } else { 32_768 },
                bias: false,
                tie_word_embeddings: false,
            },
            mask_decoder: MaskDecoderConfig {
                num_attention_heads: decoder_heads,
                ..MaskDecoderConfig::default()
            },
            downsample_ratio: 0.5,
            ps_version: PsVersion::V2,
            select_layer: -1,
            template: template.into(),
            use_llm_lora: 0,
        }
    }
}

fn internvit_300m() -> VisionConfig {
    VisionConfig {
        hidden_size: 1024,
        intermediate_size: 4096,
        num_hidden_layers: 24,
        num_attention_heads: 16,
        patch_size: 14,
        image_size: 448,
        layer_norm_eps: 1e-6,
        qkv_bias: true,
        initializer_factor: 0.1,
    }
}

fn tiny_vision() -> VisionConfig {
    VisionConfig {
        hidden_size: 128,
        intermediate_size: 384,
        num_hidden_layers: 4,
        num_attention_heads: 4,
        patch_size: 8,
        image_size: 96,
        // A few layers train faster if each has its full effect from the start.
        initializer_factor: 1.0,
        ..internvit_300m()
    }
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Preset::ALL.into_iter().find(|preset| preset.name() == name).ok_or_else(|| {
            format!(
                "unknown preset {name:?}; known are {}",
                Preset::ALL.map(Preset::name).join(", ")
            )
        })
    }
}
