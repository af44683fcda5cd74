//! Why a snapshot cannot be written or read.

use std::path::{Path, PathBuf};

use mllmseg_model::checkpoint::CheckpointError;
use thiserror::Error;

/// Why a snapshot cannot be written or read.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each message says what went wrong and what its fields hold")]
pub enum SnapshotError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{dir} has no snapshot after step {step}; there are those after {there:?}")]
    Missing { dir: PathBuf, step: usize, there: Vec<usize> },
    #[error("{0}; the earlier snapshots are as they were")]
    Write(#[from] CheckpointError),
    #[error("{0}; remove the folder to resume from the snapshot before it")]
    Read(CheckpointError),
    #[error("{path}: {message}; remove the folder to resume from the snapshot before it")]
    Damaged { path: PathBuf, message: String },
    #[error("{path}: {message}; resume with the base and the recipe that the run was started with")]
    Mismatch { path: PathBuf, message: String },
}

/// The error of a folder or file.
pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> SnapshotError {
    move |source| SnapshotError::Io { path: path.to_path_buf(), source }
}

/// The error of a file that belongs to another model.
pub(super) fn mismatch<E: ToString>(path: &Path) -> impl FnOnce(E) -> SnapshotError {
    move |error| SnapshotError::Mismatch { path: path.to_path_buf(), message: error.to_string() }
}
