//! What can go wrong in an evaluation.

use std::io;
use std::path::{Path, PathBuf};

use mllmseg_data::image::ImageError;
use mllmseg_data::mask::MaskError;
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
    /// A picture.
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
    /// An annotation that is no mask of its image.
    #[error("annotation {annotation} of image {image_id}: {source}")]
    Annotation {
        /// The annotation's id.
        annotation: String,
        /// The image.
        image_id: i64,
        /// What is wrong.
        source: MaskError,
    },
    /// One prediction that cannot be scored.
    #[error("{}: ref_id {ref_id}, sent_id {sent_id}: {detail}", path.display())]
    Prediction {
        /// The predictions file.
        path: PathBuf,
        /// The entry's ref.
        ref_id: i64,
        /// The entry's expression.
        sent_id: i64,
        /// What was expected and what was found.
        detail: String,
    },
    /// Expressions without a prediction.
    #[error(
        "{}: expected a prediction for each of {asked} expressions, but {missing} have none: \
         {examples}; add them, or score what is there with --allow-missing",
        path.display()
    )]
    Missing {
        /// The predictions file.
        path: PathBuf,
        /// Expressions asked for.
        asked: usize,
        /// How many are missing.
        missing: usize,
        /// The first few.
        examples: String,
    },
    /// Predictions of another run than the one that is to go on.
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
        /// As this run has it.
        expected: String,
        /// As the file has it.
        found: String,
    },
    /// A journal that is in the way.
    #[error(
        "{}: an unfinished run is here; go on with --resume, or delete this file to begin anew",
        path.display()
    )]
    Unfinished {
        /// The journal.
        path: PathBuf,
    },
    /// A journal that is damaged elsewhere than at its end.
    #[error("{}: line {line}: {detail}; delete this file and begin anew", path.display())]
    Journal {
        /// The journal.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What was expected and what was found.
        detail: String,
    },
    /// A file that could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's word.
        source: io::Error,
    },
}

impl EvalError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
