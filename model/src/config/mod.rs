//! The sizes of a model: one tree of structs, named as `config.json` names them, that is read from
//! a checkpoint, written to one, or made from a preset of a published base.
//!
//! | file | what |
//! | --- | --- |
//! | [`mllmseg`] | the whole file: reading, writing, checks across sections |
//! | [`vision`] | `vision_config` |
//! | [`language`] | `llm_config` |
//! | [`rope`] | its rotary embedding, in the keys of transformers 4 and 5 |
//! | [`mask_decoder`] | `mask_decoder_config`, this project's own section |
//! | [`preset`] | the published bases |
//! | `spelling`, `native` | files of other versions and of transformers' own layout, in published keys |
//! | [`layout`] | the two layouts, and a file of one in the keys of the other |
//! | `keys` | a key that has several names |
//! | `check` | the kinds of checks, which every section shares |

mod check;
mod keys;
pub mod language;
pub mod layout;
pub mod mask_decoder;
pub mod mllmseg;
mod native;
pub mod preset;
pub mod rope;
mod spelling;
pub mod vision;

pub use language::{Architecture, LanguageConfig};
pub use layout::Layout;
pub use mask_decoder::{MaskDecoderConfig, Variant};
pub use mllmseg::{ConfigError, MllmsegConfig, PsVersion, published_json};
pub use preset::Preset;
pub use rope::RopeScaling;
pub use vision::VisionConfig;
