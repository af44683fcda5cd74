//! What can go wrong when drawn scenes are written.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why drawn scenes could not be written.
#[derive(Debug, Error)]
pub enum ScenesError {
    /// There is no world or image format with this name.
    #[error("unknown {what} `{name}`; known are {known}")]
    UnknownName {
        /// What the name should be of.
        what: &'static str,
        /// The name given, control characters escaped.
        name: String,
        /// The known names.
        known: String,
    },
    /// No images were requested, or more than file names can number.
    #[error("{found} images requested; 1 to {limit} expected")]
    ImageCount {
        /// The number requested.
        found: u64,
        /// The largest number allowed.
        limit: u64,
    },
    /// The output folder has files in it, or its path has no name.
    #[error("{} is not empty; name a folder that does not exist yet, or empty it", path.display())]
    NotEmpty {
        /// The output folder.
        path: PathBuf,
    },
    /// A file or folder could not be created, written or renamed, or an image not be encoded.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl ScenesError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
