//! What can be wrong with a checkpoint.

use std::path::PathBuf;

use thiserror::Error;

/// Why weights cannot be loaded or saved.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each message says what its fields hold")]
pub enum CheckpointError {
    /// The system refused.
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    /// A folder without weights, a file that is not what its name says, or an index and shards that
    /// disagree.
    #[error("{path}: {message}; the download may be incomplete: fetch the file again")]
    Malformed { path: PathBuf, message: String },
    /// Weights that are not read as they are: which, why, and the way out.
    #[error("{path}: {message}")]
    Unusable { path: PathBuf, message: String },
    /// Shapes and names that do not fit the configuration, a line for each kind.
    #[error("{dir}: the weights do not fit config.json: {problems}", problems = .problems.join("\n"))]
    Mismatch { dir: PathBuf, problems: Vec<String> },
    /// There is no LoRA to merge.
    #[error(
        "{dir}: no LoRA to merge: the weights have no lora_A and lora_B; they are merged already, or \
         never had any"
    )]
    NoLora { dir: PathBuf },
    /// The token table has fewer rows than there are tokens.
    #[error("{dir}: the token table has {found} rows, but the tokenizer knows {expected} tokens")]
    Vocabulary { dir: PathBuf, expected: usize, found: usize },
}

impl CheckpointError {
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(super) fn malformed(path: impl Into<PathBuf>, message: impl ToString) -> Self {
        Self::Malformed { path: path.into(), message: message.to_string() }
    }

    pub(super) fn unusable(path: impl Into<PathBuf>, message: impl ToString) -> Self {
        Self::Unusable { path: path.into(), message: message.to_string() }
    }
}
