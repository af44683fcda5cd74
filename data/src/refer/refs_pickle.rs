//! Refs as a pickle: `refs(unc).p`, a list of dicts.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::ids::whole;
use super::pickle::{Pickle, PickleError, PickleLimits, Value};
use super::refs::{RawRef, RefExpressions, Sentence};
use super::{AnnotationId, ReferError};

/// Bytes copied out of a pickle per byte in it. Shared references could make it millions; the
/// published files stay below one.
const MAX_COPIES: usize = 16;

pub(super) fn read(path: &Path) -> Result<Vec<RefExpressions>, ReferError> {
    let limits = PickleLimits::default();
    let bytes = read_bounded(path, limits.max_bytes)?;
    let refused = |error| ReferError::Pickle { path: path.to_owned(), error };
    let pickle = Pickle::decode(&bytes, &limits).map_err(refused)?;
    let mut budget = Budget { left: bytes.len().saturating_mul(MAX_COPIES), limit: bytes.len() };
    let root = Place { path, value: pickle.root(), name: &|| "refs".to_owned() };
    root.map_items(|record| read_ref(record, &mut budget))
}

fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, ReferError> {
    let file = File::open(path).map_err(ReferError::io(path))?;
    let length = file.metadata().map_err(ReferError::io(path))?.len();
    let too_large = || ReferError::Pickle {
        path: path.to_owned(),
        error: PickleError::TooLarge { offset: limit as usize, what: "bytes", limit },
    };
    if length > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(limit + 1).read_to_end(&mut bytes).map_err(ReferError::io(path))?;
    if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(bytes) }
}

fn read_ref(record: &Place<'_>, budget: &mut Budget) -> Result<RefExpressions, ReferError> {
    budget.spend(record, size_of::<RefExpressions>())?;
    let raw = RawRef {
        ref_id: record.field("ref_id", |field| field.integer())?,
        image_id: record.field("image_id", |field| field.integer())?,
        ann_ids: record
            .field("ann_id", |field| field.one_or_many(budget, |id| id.annotation_id()))?,
        category_ids: record
            .optional("category_id", |field| field.one_or_many(budget, |id| id.integer()))?
            .unwrap_or_default(),
        no_target: record.optional("no_target", |field| {
            field.value.as_bool().ok_or_else(|| field.unlike("a bool"))
        })?,
        split: record.field("split", |field| field.text(budget))?,
        file_name: record.optional("file_name", |field| field.text(budget))?.unwrap_or_default(),
        sentences: record.field("sentences", |field| {
            field.map_items(|sentence| read_sentence(sentence, budget))
        })?,
    };
    raw.resolve().map_err(|detail| ReferError::inconsistent(record.path, detail))
}

fn read_sentence(record: &Place<'_>, budget: &mut Budget) -> Result<Sentence, ReferError> {
    budget.spend(record, size_of::<Sentence>())?;
    let sent_id = record.field("sent_id", |field| field.integer())?;
    let raw = record.optional("raw", |field| field.text(budget))?;
    let sent = record.optional("sent", |field| field.text(budget))?;
    let (raw, sent) = match (raw, sent) {
        (Some(raw), Some(sent)) => (raw, sent),
        (Some(text), None) | (None, Some(text)) => (text.clone(), text),
        (None, None) => return Err(record.unlike("a dict with `sent` or `raw`")),
    };
    Ok(Sentence { sent_id, raw, sent })
}

/// What may still be copied out of a pickle, in bytes.
struct Budget {
    left: usize,
    limit: usize,
}

impl Budget {
    fn spend(&mut self, place: &Place<'_>, bytes: usize) -> Result<(), ReferError> {
        match self.left.checked_sub(bytes) {
            Some(left) => self.left = left,
            None => {
                return Err(ReferError::Pickle {
                    path: place.path.to_owned(),
                    error: PickleError::TooLarge {
                        offset: self.limit,
                        what: "bytes of shared text and lists once they are written out",
                        limit: (self.limit as u64).saturating_mul(MAX_COPIES as u64),
                    },
                });
            }
        }
        Ok(())
    }
}

/// A value and how to say where it stands.
struct Place<'p> {
    path: &'p Path,
    value: Value<'p>,
    name: &'p dyn Fn() -> String,
}

impl<'p> Place<'p> {
    fn field<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Place<'_>) -> Result<T, ReferError>,
    ) -> Result<T, ReferError> {
        let name = || format!("{}.{key}", (self.name)());
        match self.value.get(key) {
            Some(value) => read(&Place { path: self.path, value, name: &name }),
            None if self.value.entries().is_none() => Err(self.unlike("a dict")),
            None => Err(ReferError::Field {
                path: self.path.to_owned(),
                place: name(),
                expected: "a value",
                found: "no such key".to_owned(),
            }),
        }
    }

    fn optional<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Place<'_>) -> Result<T, ReferError>,
    ) -> Result<Option<T>, ReferError> {
        match self.value.get(key) {
            Some(value) if !value.is_none() => self.field(key, read).map(Some),
            _ => Ok(None),
        }
    }

    fn map_items<T>(
        &self,
        mut read: impl FnMut(&Place<'_>) -> Result<T, ReferError>,
    ) -> Result<Vec<T>, ReferError> {
        let items = self.value.items().ok_or_else(|| self.unlike("a list"))?;
        items
            .enumerate()
            .map(|(index, value)| {
                let name = || format!("{}[{index}]", (self.name)());
                read(&Place { path: self.path, value, name: &name })
            })
            .collect()
    }

    fn one_or_many<T>(
        &self,
        budget: &mut Budget,
        read: impl Fn(&Place<'_>) -> Result<T, ReferError>,
    ) -> Result<Vec<T>, ReferError> {
        if self.value.is_none() {
            Ok(Vec::new())
        } else if self.value.items().is_some() {
            self.map_items(|item| {
                budget.spend(item, size_of::<T>())?;
                read(item)
            })
        } else {
            read(self).map(|item| vec![item])
        }
    }

    fn integer(&self) -> Result<i64, ReferError> {
        match self.annotation_id()? {
            AnnotationId::Number(number) => Ok(number),
            AnnotationId::Name(_) => Err(self.unlike("an integer")),
        }
    }

    /// As in JSON: an integer, an integral float, or text.
    fn annotation_id(&self) -> Result<AnnotationId, ReferError> {
        let value = self.value;
        let number = value.as_int().or_else(|| whole(value.as_float()?));
        let id = number.map(AnnotationId::Number);
        id.or_else(|| value.as_str().filter(|text| text.len() <= 64).map(AnnotationId::from_text))
            .ok_or_else(|| self.unlike("an identifier (an integer or short text)"))
    }

    fn text(&self, budget: &mut Budget) -> Result<Box<str>, ReferError> {
        let text = self.value.as_str().ok_or_else(|| self.unlike("text"))?;
        budget.spend(self, text.len())?;
        Ok(text.into())
    }

    fn unlike(&self, expected: &'static str) -> ReferError {
        let found = match (self.value.as_str(), self.value.as_float()) {
            (Some(text), _) => {
                format!("the text `{}`", text.chars().take(80).collect::<String>().escape_debug())
            }
            (_, Some(number)) => format!("{number}"),
            _ => format!("a value of type {}", self.value.type_name()),
        };
        ReferError::Field { path: self.path.to_owned(), place: (self.name)(), expected, found }
    }
}
