//! Published checkpoints: which files, which names, and how they become a model and back.
//!
//! | file | what |
//! | --- | --- |
//! | [`names`] | every tensor's name on disk beside its path in the modules |
//! | [`files`] | the tensors of a folder, unread |
//! | [`folder`] | where a checkpoint's files are: on the disk, or elsewhere |
//! | `choice` | which files count: one file, shards with an index, safetensors or PyTorch |
//! | `aliases` | names as other programs have them |
//! | `native`, `llama`, `rows` | transformers' own layout, to published names and back |
//! | `quantized` | quantised weights, told by their names |
//! | [`adapter`] | the scale of separate adapters |
//! | `factors`, `targets` | an adapter that PEFT saved alone, and the layers that it is for |
//! | [`safetensors`] | one safetensors file, its header checked, its tensors unread |
//! | `layout` | one tensor on disk and in the modules: transposed, cast |
//! | `misfits` | tensors that do not fit, told in a few lines |
//! | `token_rows` | rows for `[SEG]` and `[REJ]` |
//! | [`load`] | from files to a model |
//! | [`save`] | from a model to files |
//! | [`merge`] | LoRA merged into the base, from files to files |
//! | [`convert`] | one layout into the other, from files to files |
//! | [`mod@write`] | files that appear whole or not at all |
//! | [`named_weights`] | a walk over the weights of a module by their paths |

pub mod adapter;
mod aliases;
mod cast;
mod choice;
pub mod convert;
pub mod error;
mod factors;
pub mod files;
mod fill;
pub mod folder;
mod layout;
mod llama;
pub mod load;
pub mod merge;
mod misfits;
pub mod named_weights;
pub mod names;
mod native;
mod quantized;
pub(crate) mod read;
mod rows;
pub mod safetensors;
pub mod save;
mod targets;
mod token_rows;
pub mod write;

pub use error::CheckpointError;
pub use files::WeightFiles;
pub use folder::{Files, Folder};
pub use load::{LoadOptions, LoadReport, load_files, load_model};
pub use save::{SaveOptions, save_model};
