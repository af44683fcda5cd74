//! Refs as JSON: `grefs(unc).json`, a list of dicts.

use std::borrow::Cow;
use std::path::Path;

use serde::Deserialize;

use super::ids::{OneOrMany, Whole};
use super::json_records::for_each_record;
use super::refs::{RawRef, RefExpressions, Sentence};
use super::{AnnotationId, ReferError};

pub(super) fn read(path: &Path) -> Result<Vec<RefExpressions>, ReferError> {
    let mut refs = Vec::new();
    for_each_record(path, "refs", |record| {
        let record: RefRecord<'_> =
            serde_json::from_slice(record).map_err(|error| error.to_string())?;
        refs.push(record.into_raw()?.resolve()?);
        Ok(())
    })?;
    Ok(refs)
}

#[derive(Deserialize)]
struct RefRecord<'r> {
    ref_id: Whole,
    image_id: Whole,
    ann_id: OneOrMany<AnnotationId>,
    #[serde(default)]
    category_id: OneOrMany<Whole>,
    no_target: Option<bool>,
    #[serde(borrow)]
    split: Cow<'r, str>,
    #[serde(borrow)]
    file_name: Option<Cow<'r, str>>,
    #[serde(borrow)]
    sentences: Vec<SentenceRecord<'r>>,
}

#[derive(Deserialize)]
struct SentenceRecord<'r> {
    sent_id: Whole,
    #[serde(borrow)]
    raw: Option<Cow<'r, str>>,
    #[serde(borrow)]
    sent: Option<Cow<'r, str>>,
}

impl RefRecord<'_> {
    fn into_raw(self) -> Result<RawRef, String> {
        let sentences: Result<Vec<_>, _> =
            self.sentences.into_iter().map(SentenceRecord::into_sentence).collect();
        Ok(RawRef {
            ref_id: self.ref_id.0,
            image_id: self.image_id.0,
            ann_ids: self.ann_id.0,
            category_ids: self.category_id.0.into_iter().map(|id| id.0).collect(),
            no_target: self.no_target,
            split: self.split.into(),
            file_name: self.file_name.unwrap_or_default().into(),
            sentences: sentences?,
        })
    }
}

impl SentenceRecord<'_> {
    fn into_sentence(self) -> Result<Sentence, String> {
        let sent_id = self.sent_id.0;
        let (raw, sent) = match (self.raw, self.sent) {
            (Some(raw), Some(sent)) => (raw.into(), sent.into()),
            (Some(raw), None) => (raw.clone().into(), raw.into()),
            (None, Some(sent)) => (sent.clone().into(), sent.into()),
            (None, None) => return Err(format!("sentence {sent_id} has neither `sent` nor `raw`")),
        };
        Ok(Sentence { sent_id, raw, sent })
    }
}
