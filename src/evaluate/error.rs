//! What can go wrong in an evaluation.

use std::path::PathBuf;

use mllmseg_data::files::FileError;
use mllmseg_data::image::ImageError;
use mllmseg_data::refer::ReferError;
use thiserror::Error;

use super::Shard;
use crate::segmenter::SegmentError;

/// Why there are no numbers.
#[derive(Debug, Error)]
#[error(transparent)]
#[non_exhaustive]
pub enum EvalError {
    /// The data set, or the JSON of a predictions file.
    Refer(#[from] ReferError),
    /// A file that could not be read or written.
    File(#[from] FileError),
    /// An image.
    Image(#[from] ImageError),
    /// The model failed on an image: its id, its file, and why.
    #[error("image {0} ({1}): {2}")]
    Segment(i64, String, #[source] Box<SegmentError>),
    /// Predictions that cannot be read or scored: their file or its journal, and the entry or line
    /// with what was expected and found.
    #[error("{0}: {1}")]
    Predictions(PathBuf, String),
    /// Predictions of another run than the one that is to be resumed: their file or its journal, what
    /// differs, its value in this run, and that in the file.
    #[error(
        "{0}: expected predictions with {1} {2}, found {3}; \
         repeat the first run's options, or choose another --predictions file"
    )]
    OtherRun(PathBuf, &'static str, String, String),
    /// More shards than images: one of the shards, and the number of images.
    #[error(
        "shard {0}: expected at most {1} shards, one for each image; divide by a smaller number"
    )]
    Shard(Shard, usize),
    /// A journal is where a new run's should be.
    #[error(
        "{0}: an unfinished run is here; continue it with --resume, or delete this file to begin again"
    )]
    Unfinished(PathBuf),
    /// Another process writes the journal.
    #[error("{0}: another run is writing this file; wait for it, or name another file")]
    Busy(PathBuf),
}
