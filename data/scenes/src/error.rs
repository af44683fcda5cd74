//! What can go wrong when drawn scenes are written.

use mllmseg_data::files::FileError;
use thiserror::Error;

/// Why drawn scenes could not be written.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each message says what its fields hold")]
pub enum ScenesError {
    /// There is no world or image format with this name.
    #[error("unknown {what} `{}`; known are {known}", name.escape_debug())]
    UnknownName { what: &'static str, name: String, known: String },
    /// No images were requested, or more than file names can number.
    #[error("{found} images requested; 1 to {limit} expected")]
    ImageCount { found: u64, limit: u64 },
    /// More objects than a scene may have.
    #[error("{found} objects are placed; at most {limit} are drawn: remove some")]
    ObjectCount { found: usize, limit: usize },
    /// The output folder has files in it, a file could not be written, or an image not be encoded.
    #[error(transparent)]
    File(#[from] FileError),
}
