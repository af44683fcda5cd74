//! What can be wrong with a referring-expression data set on disk.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::files::FileError;
use crate::image::ImageError;
use crate::mask::MaskError;

/// Why a data set could not be read. Each message names the file, what was expected, and what was
/// found.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each message says what its fields hold")]
pub enum ReferError {
    /// A file could not be opened or read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A data set, split or `split_by` that there is not.
    #[error("{what} `{name}`: {detail}")]
    NoSuch { what: &'static str, name: String, detail: String },
    /// A folder without the files that it should have, or a file that does not hold what it should.
    #[error("{}: {detail}", path.display())]
    Content { path: PathBuf, detail: String },
    /// The refs and `instances.json` contradict themselves or each other.
    #[error("{}: {detail}", path.display())]
    Inconsistent { path: PathBuf, detail: String },
    /// A line of own data that cannot be used; the first is line 1.
    #[error("{}: line {line}: {detail}", path.display())]
    Line { path: PathBuf, line: u64, detail: String },
    /// An annotation that is no mask of its image.
    #[error("annotation {annotation} of image {image_id}: {source}")]
    Annotation { annotation: String, image_id: i64, source: MaskError },
    /// An image that is not in its folder; of own data with the file and line that name it first.
    #[error(
        "image {image_id} is missing: no file {}{}; download the images, or skip missing ones",
        path.display(), named_at(named_by)
    )]
    MissingImage { image_id: i64, path: PathBuf, named_by: Option<(PathBuf, u64)> },
    /// An image file that cannot be decoded.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// An image file whose size is not the annotated one.
    #[error(
        "image {image_id} ({file_name}): annotated as {}x{}, but the file is {}x{} (width x height); \
         its masks would not fit, so fetch the original image",
        annotated.0, annotated.1, found.0, found.1
    )]
    ImageSize { image_id: i64, file_name: String, annotated: (u32, u32), found: (u32, u32) },
}

fn named_at(place: &Option<(PathBuf, u64)>) -> String {
    let named = |(path, line): &(PathBuf, u64)| format!(" ({}: line {line})", path.display());
    place.as_ref().map_or(String::new(), named)
}

impl ReferError {
    pub(super) fn no_such(what: &'static str, name: &str, detail: impl Into<String>) -> Self {
        Self::NoSuch { what, name: name.escape_debug().to_string(), detail: detail.into() }
    }

    /// A name that none of the values has.
    pub(super) fn unknown<T: Copy + Into<&'static str>>(
        what: &'static str,
        name: &str,
        values: &[T],
    ) -> Self {
        let known: Vec<&str> = values.iter().map(|&value| value.into()).collect();
        Self::no_such(what, name, format!("known are {}", known.join(", ")))
    }

    pub(super) fn content(path: &Path, detail: impl Into<String>) -> Self {
        Self::Content { path: path.to_owned(), detail: detail.into() }
    }

    pub(super) fn inconsistent(path: &Path, detail: String) -> Self {
        Self::Inconsistent { path: path.to_owned(), detail }
    }

    /// A folder without the `expected` files, with those of its files that `look_alike`.
    pub(super) fn no_files(
        folder: &Path,
        expected: String,
        look_alike: impl Fn(&str) -> bool,
    ) -> Self {
        let entries = std::fs::read_dir(folder).into_iter().flatten().take(1000);
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| look_alike(name))
            .map(|name| name.escape_debug().to_string())
            .take(10)
            .collect();
        names.sort();
        let found = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Self::content(folder, format!("expected {expected}, found {found}"))
    }
}
