//! What can go wrong in an evaluation.

use std::path::PathBuf;

use mllmseg_data::files::FileError;
use mllmseg_data::image::ImageError;
use mllmseg_data::refer::ReferError;
use thiserror::Error;

use crate::segmenter::SegmentError;

/// Why there are no numbers.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EvalError {
    /// The data set, or the JSON of a predictions file.
    #[error(transparent)]
    Refer(#[from] ReferError),
    /// A file that could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// An image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The model failed on an image.
    #[error("image {image_id} ({file_name}): {source}")]
    Segment {
        /// The image.
        image_id: i64,
        /// Its file.
        file_name: String,
        /// Why.
        source: Box<SegmentError>,
    },
    /// Predictions that cannot be read or scored.
    #[error("{}: {detail}", path.display())]
    Predictions {
        /// The predictions file or its journal.
        path: PathBuf,
        /// The entry or line, what was expected and what was found.
        detail: String,
    },
    /// Predictions of another run than the one that is to be resumed.
    #[error(
        "{}: expected predictions with {field} {expected}, found {found}; \
         repeat the first run's options, or choose another --predictions file",
        path.display()
    )]
    OtherRun {
        /// The predictions file or its journal.
        path: PathBuf,
        /// What differs.
        field: &'static str,
        /// The value of this run.
        expected: String,
        /// The value in the file.
        found: String,
    },
    /// A journal is where a new run's should be.
    #[error(
        "{}: an unfinished run is here; continue it with --resume, or delete this file to begin again",
        path.display()
    )]
    Unfinished {
        /// The journal.
        path: PathBuf,
    },
    /// Another process writes the journal.
    #[error("{}: another run is writing this file; wait for it, or name another file", path.display())]
    Busy {
        /// The journal.
        path: PathBuf,
    },
}
