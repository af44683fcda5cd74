//! The refs: which expressions refer to which annotations of which image.

use std::path::Path;

use mllmseg_pickle::Limits;
use serde::Deserialize;

use super::ids::{flag, integer, one_or_many};
use super::json_records::for_each_record;
use super::{AnnotationId, PickleError, ReferError};
use crate::files::read_bounded;

/// The expressions that refer to the same target (a "ref" of the published files).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "RefRecord")]
pub struct RefExpressions {
    /// Its identifier.
    pub ref_id: i64,
    /// The image that the expressions describe.
    pub image_id: i64,
    /// The annotations referred to; empty if the image holds no target.
    pub ann_ids: Vec<AnnotationId>,
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
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SentenceRecord")]
pub struct Sentence {
    /// Its identifier.
    pub sent_id: i64,
    /// As it was typed.
    pub raw: Box<str>,
    /// As the published models receive it: lower case, without punctuation.
    pub sent: Box<str>,
}

/// Reads a refs file: a pickle if its name ends in `.p`, else JSON.
///
/// # Errors
/// If the file cannot be read, is damaged or refused (see [`PickleError`]), or a field is missing or
/// of another kind than expected.
pub fn read_refs(path: &Path) -> Result<Vec<RefExpressions>, ReferError> {
    if path.extension().is_some_and(|extension| extension == "p") {
        return read_pickle(path);
    }
    let mut refs = Vec::new();
    for_each_record(path, "refs", |entry| {
        refs.push(entry);
        Ok(())
    })?;
    Ok(refs)
}

fn read_pickle(path: &Path) -> Result<Vec<RefExpressions>, ReferError> {
    let limits = Limits::default();
    let bytes = read_bounded(path, limits.max_bytes)?;
    mllmseg_pickle::from_slice(&bytes, &limits).map_err(|error| match error {
        PickleError::Value { place, detail } => {
            // `.` is the list itself.
            ReferError::content(path, format!("in refs{}: {detail}", place.trim_end_matches('.')))
        }
        error => ReferError::content(path, error.to_string()),
    })
}

/// A ref as the files write it: `[-1]` for no target, and fields left out.
#[derive(Deserialize)]
struct RefRecord {
    #[serde(deserialize_with = "integer")]
    ref_id: i64,
    #[serde(deserialize_with = "integer")]
    image_id: i64,
    #[serde(deserialize_with = "one_or_many")]
    ann_id: Vec<AnnotationId>,
    #[serde(default, deserialize_with = "flag")]
    no_target: Option<bool>,
    split: Box<str>,
    file_name: Option<Box<str>>,
    sentences: Vec<Sentence>,
}

impl TryFrom<RefRecord> for RefExpressions {
    type Error = String;

    fn try_from(mut record: RefRecord) -> Result<Self, String> {
        let ref_id = record.ref_id;
        if record.ann_id == [AnnotationId::NO_TARGET] {
            record.ann_id.clear();
        }
        let count = record.ann_id.len();
        if let Some(no_target) = record.no_target.filter(|&flag| flag != (count == 0)) {
            return Err(format!(
                "ref {ref_id}: no_target is {no_target}, but ann_id names {count} annotations"
            ));
        }
        record.ann_id.shrink_to_fit();
        record.sentences.shrink_to_fit();
        Ok(Self {
            ref_id,
            image_id: record.image_id,
            ann_ids: record.ann_id,
            split: record.split,
            file_name: record.file_name.unwrap_or_default(),
            sentences: record.sentences,
        })
    }
}

/// A sentence as the files write it: one of the two texts may be missing.
#[derive(Deserialize)]
struct SentenceRecord {
    #[serde(deserialize_with = "integer")]
    sent_id: i64,
    raw: Option<Box<str>>,
    sent: Option<Box<str>>,
}

impl TryFrom<SentenceRecord> for Sentence {
    type Error = String;

    fn try_from(record: SentenceRecord) -> Result<Self, String> {
        let sent_id = record.sent_id;
        let (raw, sent) = match (record.raw, record.sent) {
            (Some(raw), Some(sent)) => (raw, sent),
            (Some(text), None) | (None, Some(text)) => (text.clone(), text),
            (None, None) => return Err(format!("sentence {sent_id} has neither `sent` nor `raw`")),
        };
        Ok(Self { sent_id, raw, sent })
    }
}
