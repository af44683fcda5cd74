//! Why a snapshot cannot be written or read.

use std::path::{Path, PathBuf};

use mllmseg_model::checkpoint::CheckpointError;
use thiserror::Error;

/// Why a snapshot cannot be written or read.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each message says what its fields hold")]
pub enum SnapshotError {
    /// A folder or file that cannot be written, read or removed.
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    /// A snapshot that is not there.
    #[error("{dir} has no snapshot after step {step}; there are those after {there:?}")]
    Missing { dir: PathBuf, step: usize, there: Vec<usize> },
    /// A file of the snapshot that cannot be written.
    #[error("{0}; the earlier snapshots are as they were")]
    Write(#[from] CheckpointError),
    /// Arrays of the snapshot that cannot be read.
    #[error("{0}; remove the folder to resume from the snapshot before it")]
    Read(CheckpointError),
    /// A file of the snapshot that is damaged.
    #[error("{path}: {message}; remove the folder to resume from the snapshot before it")]
    Damaged { path: PathBuf, message: String },
    /// A snapshot of another model.
    #[error("{path}: {message}; resume with the base and the recipe that the run was started with")]
    Mismatch { path: PathBuf, message: String },
}

/// The error of a folder or file.
pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> SnapshotError + '_ {
    move |source| SnapshotError::Io { path: path.to_path_buf(), source }
}
