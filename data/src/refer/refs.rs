//! The refs: which expressions refer to which annotations of which image.

use std::fmt;
use std::path::Path;

use mllmseg_pickle::Limits;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::ids::{flag, one_or_many, optional};
use super::json_records::JsonFile;
use super::{AnnotationId, PickleError, ReferError};
use crate::files::read_bounded;
use crate::leniency::{Leniencies, Leniency, note, whole_number};

/// Stands for the identifier of a sentence until it is numbered.
const NO_ID: i64 = i64::MIN;

/// The expressions that refer to the same target (a "ref" of the published files).
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
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
    read_refs_counted(path, &mut Leniencies::default())
}

pub(super) fn read_refs_counted(
    path: &Path,
    leniencies: &mut Leniencies,
) -> Result<Vec<RefExpressions>, ReferError> {
    let mut refs = match path.extension().is_some_and(|extension| extension == "p") {
        true => leniencies.count(|_| path.display().to_string(), || read_pickle(path))?,
        false => read_json(path, leniencies)?,
    };
    let sentences = || refs.iter().flat_map(|entry| &entry.sentences);
    let first = sentences()
        .map(|sentence| sentence.sent_id)
        .max()
        .map_or(0, |id| id.saturating_add(1).max(0));
    let without =
        refs.iter_mut().flat_map(|entry| &mut entry.sentences).filter(|one| one.sent_id == NO_ID);
    for (number, sentence) in (first..).zip(without) {
        sentence.sent_id = number;
    }
    Ok(refs)
}

/// A list of refs, a dict that holds one, or a ref on each line.
fn read_json(path: &Path, leniencies: &mut Leniencies) -> Result<Vec<RefExpressions>, ReferError> {
    const LISTS: [&str; 4] = ["refs", "data", "annotations", "records"];
    let mut refs: Vec<RefExpressions> = Vec::new();
    let mut file = JsonFile::open(path, leniencies)?;
    if file.peek()? != Some(b'{') {
        let place = |entry: &RefExpressions| format!("ref {}", entry.ref_id);
        file.list("refs", |record| {
            refs.push(leniencies.count(place, || record.parse())?);
            Ok(())
        })?;
        file.end()?;
        return Ok(refs);
    }
    leniencies.one(Leniency::Wrapped, &path.display());
    let (mut of_dict, mut on_lines) = (false, false);
    file.dict("a list of refs", |file, key| {
        let is_list = file.peek()? == Some(b'[');
        on_lines |= key == "ref_id";
        if key == "ref_id" && file.peek()? == Some(b'{') {
            let way_out = "write it by df.to_json(orient=\"records\")";
            return Err(
                file.fail(format!("the refs are stored column by column; with pandas, {way_out}"))
            );
        }
        if !is_list || !LISTS.contains(&key) || of_dict || on_lines {
            return file.skip();
        }
        of_dict = true;
        file.list("refs", |record| {
            let place = |entry: &RefExpressions| format!("ref {}", entry.ref_id);
            refs.push(leniencies.count(place, || record.parse())?);
            Ok(())
        })
    })?;
    if !on_lines {
        file.end()?;
        return match of_dict {
            true => Ok(refs),
            false => Err(file.fail("invalid type: map, expected a list of refs")),
        };
    }
    let mut file = JsonFile::open(path, &mut Leniencies::default())?;
    refs.clear();
    while file.peek()?.is_some() {
        let place = |entry: &RefExpressions| format!("ref {}", entry.ref_id);
        file.record(&mut |record| {
            refs.push(leniencies.count(place, || record.parse())?);
            Ok(())
        })?;
    }
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
#[derive(serde::Deserialize)]
struct RefRecord {
    #[serde(deserialize_with = "whole_number")]
    ref_id: i64,
    #[serde(deserialize_with = "whole_number")]
    image_id: i64,
    #[serde(alias = "ann_ids", deserialize_with = "one_or_many")]
    ann_id: Vec<AnnotationId>,
    #[serde(default, deserialize_with = "flag")]
    no_target: Option<bool>,
    /// Of Ref-ZOM: where it is `zero` there is no target, whatever `ann_id` names.
    #[serde(default, deserialize_with = "optional")]
    source: Option<Box<str>>,
    split: Option<Box<str>>,
    #[serde(default, deserialize_with = "optional")]
    file_name: Option<Box<str>>,
    sentences: Option<Vec<Sentence>>,
    /// Where other tools put the sentences, or the only one.
    expressions: Option<Vec<Sentence>>,
    captions: Option<Vec<Sentence>>,
    #[serde(
        alias = "sentence",
        alias = "expression",
        alias = "caption",
        alias = "phrase",
        alias = "text"
    )]
    sent: Option<WrittenText>,
}

impl TryFrom<RefRecord> for RefExpressions {
    type Error = String;

    fn try_from(mut record: RefRecord) -> Result<Self, String> {
        let ref_id = record.ref_id;
        let is_zero = record.source.as_deref() == Some("zero");
        if is_zero || record.ann_id == [AnnotationId::NO_TARGET] {
            record.ann_id.clear();
        }
        let count = record.ann_id.len();
        if let Some(no_target) = record.no_target.filter(|&flag| flag != (count == 0)) {
            return Err(format!(
                "ref {ref_id}: no_target is {no_target}, but ann_id names {count} annotations"
            ));
        }
        record.ann_id.shrink_to_fit();
        if record.split.is_none() {
            note(Leniency::NoSplit);
        }
        let elsewhere = record.expressions.or(record.captions);
        let elsewhere = elsewhere.or(record.sent.map(|text| vec![Sentence::elsewhere(text.0)]));
        let sentences = match (record.sentences, elsewhere) {
            (Some(sentences), _) => sentences,
            (None, Some(sentences)) => {
                note(Leniency::SentenceKey);
                sentences
            }
            (None, None) => return Err(format!("ref {ref_id}: missing field `sentences`")),
        };
        Ok(Self {
            ref_id,
            image_id: record.image_id,
            ann_ids: record.ann_id,
            split: record.split.unwrap_or_default(),
            file_name: record.file_name.unwrap_or_default(),
            sentences,
        })
    }
}

/// A sentence as the files write it: one of the two texts may be missing.
#[derive(serde::Deserialize)]
struct SentenceRecord {
    sent_id: Option<Number>,
    raw: Option<WrittenText>,
    sent: Option<WrittenText>,
    #[serde(alias = "sentence", alias = "expression", alias = "caption", alias = "phrase")]
    text: Option<WrittenText>,
    #[serde(default, deserialize_with = "optional")]
    tokens: Option<Vec<Box<str>>>,
}

#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Number(#[serde(deserialize_with = "whole_number")] i64);

/// Text, or a number that some tool made of it.
#[derive(serde::Deserialize)]
#[serde(from = "TextOrNumber")]
struct WrittenText(Box<str>);

#[derive(serde::Deserialize)]
#[serde(untagged, expecting = "text expected")]
enum TextOrNumber {
    Text(Box<str>),
    Integer(i64),
    Float(f64),
}

impl From<TextOrNumber> for WrittenText {
    fn from(written: TextOrNumber) -> Self {
        Self(match written {
            TextOrNumber::Text(text) => text,
            TextOrNumber::Integer(number) => number.to_string().into(),
            TextOrNumber::Float(number) => number.to_string().into(),
        })
    }
}

impl Sentence {
    /// A sentence that stands where RefCOCO has none.
    fn elsewhere(text: Box<str>) -> Self {
        note(Leniency::NoSentenceId);
        Self { sent_id: NO_ID, raw: text.clone(), sent: text }
    }
}

impl<'de> Deserialize<'de> for Sentence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SentenceVisitor)
    }
}

struct SentenceVisitor;

impl<'de> Visitor<'de> for SentenceVisitor {
    type Value = Sentence;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sentence: a dict with `sent_id` and `sent`")
    }

    fn visit_str<E>(self, text: &str) -> Result<Sentence, E> {
        note(Leniency::SentenceKey);
        Ok(Sentence::elsewhere(text.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Sentence, A::Error> {
        let record = SentenceRecord::deserialize(MapAccessDeserializer::new(map))?;
        let sent_id = record.sent_id.map_or(NO_ID, |Number(id)| id);
        if sent_id == NO_ID {
            note(Leniency::NoSentenceId);
        }
        let (raw, sent) = match (record.raw, record.sent) {
            (Some(raw), Some(sent)) => (raw.0, sent.0),
            (Some(text), None) | (None, Some(text)) => (text.0.clone(), text.0),
            (None, None) => {
                note(Leniency::SentenceKey);
                let text = record.text.map(|text| text.0);
                let text = text.or(record.tokens.map(|tokens| tokens.join(" ").into()));
                let lacking =
                    || A::Error::custom(format!("sentence {sent_id} has neither `sent` nor `raw`"));
                let text = text.ok_or_else(lacking)?;
                (text.clone(), text)
            }
        };
        Ok(Sentence { sent_id, raw, sent })
    }
}
