//! What can be wrong with a checkpoint.

use std::path::PathBuf;

use thiserror::Error;

/// Why weights cannot be loaded or saved.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The folder holds no weights.
    #[error(
        "{dir}: no weights found; expected model.safetensors, model.safetensors.index.json, \
         pytorch_model.bin or pytorch_model.bin.index.json"
    )]
    NoWeights {
        /// The folder.
        dir: PathBuf,
    },
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is not what its name says.
    #[error("{path}: {message}; the download may be incomplete: fetch the file again")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        message: String,
    },
    /// The index names a file that is not there.
    #[error("{index}: names the shard {shard}, which is not in the folder; fetch it again")]
    MissingShard {
        /// The index file.
        index: PathBuf,
        /// The shard's name.
        shard: String,
    },
    /// Index and shard disagree.
    #[error(
        "{index}: says that {tensor} is in {shard}, but it is not; index and shards are of different downloads"
    )]
    NotInShard {
        /// The index file.
        index: PathBuf,
        /// The tensor.
        tensor: String,
        /// The shard's name.
        shard: String,
    },
    /// A tensor twice.
    #[error("{path}: tensor {tensor} is already in another shard")]
    Duplicate {
        /// The second file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// Shapes and names that do not fit the configuration, all of them.
    #[error("{dir}: the weights do not fit config.json\n{problems}", problems = .problems.join("\n"))]
    Mismatch {
        /// The folder.
        dir: PathBuf,
        /// One line per tensor: name, expected, found.
        problems: Vec<String>,
    },
    /// There is no LoRA to merge.
    #[error(
        "{dir}: no LoRA to merge: the weights have no lora_A and lora_B; they are merged already, or \
         never had any"
    )]
    NoLora {
        /// The folder.
        dir: PathBuf,
    },
    /// More rows in the token table than there are tokens, or the reverse.
    #[error("{dir}: the token table has {found} rows, but the tokenizer knows {expected} tokens")]
    Vocabulary {
        /// The folder.
        dir: PathBuf,
        /// Tokens of the tokenizer.
        expected: usize,
        /// Rows on disk.
        found: usize,
    },
}

impl CheckpointError {
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(super) fn malformed(path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self::Malformed { path: path.into(), message: message.into() }
    }
}
