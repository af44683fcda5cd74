//! What can go wrong when a checkpoint is written again.

use std::path::PathBuf;

use mllmseg_data::files::FileError;
use mllmseg_data::tokenizer::TokenizerError;
use mllmseg_model::checkpoint::CheckpointError;
use mllmseg_model::config::ConfigError;
use serde_json::Value;
use thiserror::Error;

/// Why there is no new checkpoint.
#[derive(Debug, Error)]
#[error(transparent)]
#[non_exhaustive]
pub enum ConvertError {
    /// `config.json`, or what the layout has no place for.
    Config(#[from] ConfigError),
    /// The weights; [`CheckpointError::NoLora`] if there is nothing to merge.
    Checkpoint(#[from] CheckpointError),
    /// The tokenizer, whose ids the layout of transformers needs.
    Tokenizer(#[from] TokenizerError),
    /// A file or folder that could not be read or written.
    File(#[from] FileError),
    /// A file that is too large for what its name says: its size and the largest, in bytes.
    #[error("{0}: {1} bytes, expected at most {2}; move it out of the folder")]
    TooLarge(PathBuf, u64, u64),
    /// A file of transformers' processor whose numbers are not those of every InternVL: the file, the
    /// key, what was expected and found.
    #[error("{0}: {1}: expected {2}, as this program computes it, found {3}")]
    Processor(PathBuf, &'static str, Value, Value),
}
