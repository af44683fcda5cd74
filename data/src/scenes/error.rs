//! What can go wrong when drawn scenes are written or read back.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why drawn scenes could not be written.
#[derive(Debug, Error)]
pub enum ScenesError {
    /// A world without that name.
    #[error("unknown world `{name}`; known are small, shapes, places, full")]
    UnknownWorld {
        /// The name given.
        name: String,
    },
    /// A picture format without that name.
    #[error("unknown picture format `{name}`; known are png, jpeg")]
    UnknownFormat {
        /// The name given.
        name: String,
    },
    /// No pictures were asked for, or more than file names can number.
    #[error("{found} pictures asked for; 1 to {limit} expected")]
    PictureCount {
        /// How many were asked for.
        found: u64,
        /// The most there may be.
        limit: u64,
    },
    /// The place for the data set is taken.
    #[error("{} is not empty; name a folder that does not exist yet, or empty it", path.display())]
    NotEmpty {
        /// The place.
        path: PathBuf,
    },
    /// A file or folder could not be made, written or renamed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's word.
        source: io::Error,
    },
    /// A picture could not be encoded.
    #[error("{}: the picture could not be encoded: {reason}", path.display())]
    Encode {
        /// The picture's file.
        path: PathBuf,
        /// The encoder's word.
        reason: String,
    },
}

impl ScenesError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
