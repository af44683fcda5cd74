//! Identifiers of own data as the file and line that they stand for.

use std::path::{Path, PathBuf};

use super::super::{Annotation, AnnotationId, ReferError, Split};

/// The identifiers of a split begin at this times its index.
pub(super) const SPLIT_STEP: i64 = 1_000_000_000;
/// The extension of the files of own data.
pub(super) const EXTENSION: &str = "jsonl";

/// The file and line that an identifier stands for.
pub(in super::super) fn place(folder: &Path, id: i64) -> (PathBuf, u64) {
    let split = usize::try_from(id / SPLIT_STEP).ok().and_then(|index| Split::ALL.get(index));
    let file = split.map_or(folder.to_owned(), |split| file_of(folder, *split));
    (file, (id % SPLIT_STEP).unsigned_abs())
}

/// An error in an annotation, with the file and line that it comes from.
pub(in super::super) fn line_error(
    folder: &Path,
    annotation: &Annotation,
    detail: String,
) -> ReferError {
    let id = match annotation.id {
        AnnotationId::Number(id) => id,
        AnnotationId::Name(_) => annotation.image_id, // no line makes such a one
    };
    error_at(folder, id, detail)
}

pub(super) fn error_at(folder: &Path, id: i64, detail: String) -> ReferError {
    let (path, line) = place(folder, id);
    ReferError::Line { path, line, detail }
}

pub(super) fn file_name(split: Split) -> String {
    format!("{split}.{EXTENSION}")
}

pub(super) fn file_of(folder: &Path, split: Split) -> PathBuf {
    folder.join(file_name(split))
}
