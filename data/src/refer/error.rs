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
    /// A data set that is not one of the published ones.
    #[error("unknown data set `{name}`; known are {known}")]
    UnknownDataset {
        /// The name given.
        name: String,
        /// The names that are known.
        known: String,
    },
    /// A split that no published data set has.
    #[error("unknown split `{name}`; known are {known}")]
    UnknownSplit {
        /// The name given.
        name: String,
        /// The names that are known.
        known: String,
    },
    /// A split that this data set has no expressions for.
    #[error("{dataset} has no expressions in split `{split}`; its refs are split as {available}")]
    EmptySplit {
        /// The data set.
        dataset: String,
        /// The split asked for.
        split: String,
        /// The split names found, with the number of refs in each.
        available: String,
    },
    /// A `split_by` that cannot be part of a file name.
    #[error(
        "split_by `{name}` is no name of a split (such as unc, umd, google): letters, digits, _ and - only"
    )]
    BadSplitBy {
        /// The name given.
        name: String,
    },
    /// Neither the pickle nor the JSON of the refs is there.
    #[error(
        "no refs file: neither {} nor {} exists; files of other splits here: {found}",
        pickle.display(), json.display()
    )]
    NoRefsFile {
        /// The pickle looked for first.
        pickle: PathBuf,
        /// The JSON looked for next.
        json: PathBuf,
        /// The refs files that are in the folder, or "none".
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
    /// JSON that is damaged, or does not hold what it should.
    #[error("{}: at byte {offset}, in {place}: {detail}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where reading stopped: just after what is wrong.
        offset: u64,
        /// Which record this is, such as `annotations[12]`.
        place: String,
        /// What was expected and what was found.
        detail: String,
    },
    /// A value in the refs that is missing or of another kind than expected.
    #[error("{}: {place}: {detail}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// Which value, such as `refs[3].sentences[0].sent_id`.
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
    /// A folder of own data without the files asked for.
    #[error(
        "{}: own data need a file of JSON lines for each split: expected {expected}, found {found}",
        folder.display()
    )]
    NoLines {
        /// The folder.
        folder: PathBuf,
        /// The names looked for.
        expected: String,
        /// The files of JSON lines that are there, or "none".
        found: String,
    },
    /// A `split_by` for own data.
    #[error("own data are split by their files (train.jsonl, val.jsonl, …), not by `{name}`")]
    OwnSplitBy {
        /// The name given.
        name: String,
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

    pub(super) fn inconsistent(path: &Path, detail: String) -> Self {
        Self::Inconsistent { path: path.to_owned(), detail }
    }
}
