//! The sizes of a model: one tree of structs, named as `config.json` names them, that is read from
//! a checkpoint, written to one, or made from a preset of a published base.
//!
//! | file | what |
//! | --- | --- |
//! | [`mllmseg`] | the whole file: reading, writing, checks across sections |
//! | [`vision`] | `vision_config` |
//! | [`language`] | `llm_config` |
//! | [`mask_decoder`] | `mask_decoder_config`, this project's own section |
//! | [`preset`] | the published bases |
//! | `check` | the kinds of checks, which every section shares |

mod check;
pub mod language;
pub mod mask_decoder;
pub mod mllmseg;
pub mod preset;
pub mod vision;

pub use language::{Architecture, LanguageConfig, RopeScaling};
pub use mask_decoder::{MaskDecoderConfig, Variant};
pub use mllmseg::{ConfigError, MllmsegConfig, PsVersion};
pub use preset::Preset;
pub use vision::VisionConfig;
