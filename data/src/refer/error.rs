//! What can be wrong with a referring-expression data set on disk.

use std::io;
use std::path::{Path, PathBuf};

use mllmseg_pickle::Error as PickleError;
use thiserror::Error;

use crate::image::ImageError;
use crate::mask::MaskError;

/// Why a data set could not be read. Each message names the file, what was expected, and what was
/// found.
#[derive(Debug, Error)]
pub enum ReferError {
    /// A file could not be opened or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A data set, split or `split_by` that there is not.
    #[error("{what} `{name}`: {detail}")]
    NoSuch {
        /// What was asked for.
        what: &'static str,
        /// The name given, with control characters escaped.
        name: String,
        /// Which ones there are.
        detail: String,
    },
    /// A folder without the files that hold the expressions.
    #[error("{}: expected {expected}, found {found}", folder.display())]
    NoFiles {
        /// The folder.
        folder: PathBuf,
        /// The names looked for.
        expected: String,
        /// The files of this kind that are there, or "none".
        found: String,
    },
    /// A pickle that is damaged, malicious or not a pickle.
    #[error("{}: {error}", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: PickleError,
    },
    /// A file that is damaged, or a record that does not hold what it should.
    #[error("{}: in {place}: {detail}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Which record or value, such as `annotations[12]` or `refs[3].sentences[0].sent_id`.
        place: String,
        /// What was expected and what was found.
        detail: String,
    },
    /// The refs and `instances.json` contradict themselves or each other.
    #[error("{}: {detail}", path.display())]
    Inconsistent {
        /// The file that holds the contradiction.
        path: PathBuf,
        /// Which record, and what it contradicts.
        detail: String,
    },
    /// An image's `file_name` that leads out of the images folder.
    #[error(
        "{}: image {image_id} has file_name `{file_name}`: a relative path without `..` expected",
        path.display()
    )]
    UnsafeFileName {
        /// The file that names the image.
        path: PathBuf,
        /// The image.
        image_id: i64,
        /// The name, with control characters escaped.
        file_name: String,
    },
    /// A line of own data that cannot be used.
    #[error("{}: line {line}: {detail}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What was expected and what was found.
        detail: String,
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
    /// An image that is not in its folder.
    #[error(
        "image {image_id} is missing: no file {}{}; download the images, or skip missing ones",
        path.display(), named_at(named_by)
    )]
    MissingImage {
        /// The image.
        image_id: i64,
        /// Where it should be.
        path: PathBuf,
        /// The file and line of own data that name it first.
        named_by: Option<(PathBuf, u64)>,
    },
    /// An image file that cannot be decoded.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// An image file whose size is not the annotated one.
    #[error(
        "image {image_id} ({file_name}): annotated as {}x{}, but the file is {}x{} (width x height); \
         its masks would not fit, so fetch the original image",
        annotated.0, annotated.1, found.0, found.1
    )]
    ImageSize {
        /// The image.
        image_id: i64,
        /// Its file.
        file_name: String,
        /// Width and height in `instances.json`, in pixels.
        annotated: (u32, u32),
        /// Width and height of the file, in pixels.
        found: (u32, u32),
    },
}

fn named_at(place: &Option<(PathBuf, u64)>) -> String {
    let named = |(path, line): &(PathBuf, u64)| format!(" ({}: line {line})", path.display());
    place.as_ref().map_or(String::new(), named)
}

/// The files of a folder whose names are wanted, for a message.
pub(super) fn files_in(folder: &Path, wanted: impl Fn(&str) -> bool) -> String {
    let entries = std::fs::read_dir(folder).into_iter().flatten().take(1000);
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| wanted(name))
        .map(|name| name.escape_debug().to_string())
        .take(10)
        .collect();
    names.sort();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

impl ReferError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(super) fn no_such(what: &'static str, name: &str, detail: impl Into<String>) -> Self {
        Self::NoSuch { what, name: name.escape_debug().to_string(), detail: detail.into() }
    }

    pub(super) fn inconsistent(path: &Path, detail: String) -> Self {
        Self::Inconsistent { path: path.to_owned(), detail }
    }
}
