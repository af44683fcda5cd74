//! The refs: which words refer to which annotations of which image.

use std::path::Path;

use super::{AnnotationId, ReferError};
use super::{refs_json, refs_pickle};

/// The expressions that refer to the same target (a "ref" of the published files).
#[derive(Debug, Clone, PartialEq)]
pub struct RefExpressions {
    /// Its identifier.
    pub ref_id: i64,
    /// The image spoken of.
    pub image_id: i64,
    /// The annotations referred to; empty if the image holds no target.
    pub ann_ids: Vec<AnnotationId>,
    /// The categories of the targets; empty without one.
    pub category_ids: Vec<i64>,
    /// The split as the file marks it, such as `testAB`.
    pub split: Box<str>,
    /// The file named in the ref: the *annotation's* (`COCO_train2014_000000581857_16.jpg`), or
    /// empty. The image's file is [`ImageInfo::file_name`](super::ImageInfo::file_name).
    pub file_name: Box<str>,
    /// The expressions. Some published refs have none.
    pub sentences: Vec<Sentence>,
}

impl RefExpressions {
    /// Whether the expressions refer to nothing in the image.
    pub fn no_target(&self) -> bool {
        self.ann_ids.is_empty()
    }
}

/// One expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// Its identifier.
    pub sent_id: i64,
    /// As it was typed.
    pub raw: Box<str>,
    /// As the published models are asked it: lower case, without punctuation.
    pub sent: Box<str>,
}

/// Reads a refs file: a pickle if its name ends in `.p`, else JSON.
///
/// # Errors
/// If the file cannot be read, is damaged or refused (see [`PickleError`](super::PickleError)), or
/// a field is missing or of another kind than expected.
pub fn read_refs(path: &Path) -> Result<Vec<RefExpressions>, ReferError> {
    if path.extension().is_some_and(|extension| extension == "p") {
        refs_pickle::read(path)
    } else {
        refs_json::read(path)
    }
}

/// What the two formats hold before `[-1]` is given its meaning.
pub(super) struct RawRef {
    pub ref_id: i64,
    pub image_id: i64,
    pub ann_ids: Vec<AnnotationId>,
    pub category_ids: Vec<i64>,
    pub no_target: Option<bool>,
    pub split: Box<str>,
    pub file_name: Box<str>,
    pub sentences: Vec<Sentence>,
}

impl RawRef {
    /// Reads `[-1]` as no target; an error if that contradicts the ref's own `no_target`.
    pub(super) fn resolve(mut self) -> Result<RefExpressions, String> {
        if self.ann_ids == [AnnotationId::NO_TARGET] {
            self.ann_ids.clear();
        }
        self.category_ids.retain(|&id| id != -1);
        if let Some(no_target) = self.no_target.filter(|&flag| flag != self.ann_ids.is_empty()) {
            let count = self.ann_ids.len();
            return Err(format!(
                "ref {}: no_target is {no_target}, but ann_id names {count} annotations",
                self.ref_id
            ));
        }
        self.ann_ids.shrink_to_fit();
        self.sentences.shrink_to_fit();
        Ok(RefExpressions {
            ref_id: self.ref_id,
            image_id: self.image_id,
            ann_ids: self.ann_ids,
            category_ids: self.category_ids,
            split: self.split,
            file_name: self.file_name,
            sentences: self.sentences,
        })
    }
}
