//! One line: an image, an expression and a mask.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::super::instances::relative_path;
use super::super::segmentation::{Part, RawRunLengths};
use super::super::{RawCounts, RawSegmentation};
use crate::mask::{EncodedRle, MAX_COORDINATE};
use crate::prompt::IMAGE;
use crate::tokenizer::{IMG_CONTEXT, IMG_END, IMG_START, REJ, SEG};

/// The longest expression, in characters.
const MAX_EXPRESSION: usize = 1000;
/// Words that mean something else to the model.
const RESERVED: [&str; 7] = [IMAGE, IMG_START, IMG_END, IMG_CONTEXT, SEG, REJ, "<|im_"];
/// Points that enclose something.
const MIN_POINTS: usize = 3;

/// What a line says, checked as far as it can be without the image.
pub(super) struct Line {
    pub image: Box<str>,
    /// As it was typed.
    pub raw: Box<str>,
    /// As the model is asked it.
    pub sent: Box<str>,
    /// `None` without a target.
    pub mask: Option<RawSegmentation>,
}

impl Line {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let record: Record<'_> = serde_json::from_slice(bytes).map_err(without_line)?;
        check_path("image", &record.image)?;
        let sent = asked(&record.expression);
        check_expression(&record.expression, &sent)?;
        let mask = record.mask.0;
        mask.as_ref().map_or(Ok(()), check_mask)?;
        let raw = record.expression.into();
        Ok(Self { image: record.image.into(), raw, sent: sent.into(), mask })
    }
}

#[derive(serde::Deserialize)]
struct Record<'r> {
    #[serde(borrow)]
    image: Cow<'r, str>,
    #[serde(borrow)]
    expression: Cow<'r, str>,
    mask: Mask,
}

/// An expression as the published sets write them for the model, and as training asks them: lower
/// case, single spaces, no full stop at the end. Other punctuation stays.
fn asked(expression: &str) -> String {
    let words: Vec<&str> = expression.split_whitespace().collect();
    words.join(" ").to_lowercase().trim_matches(['.', ' ']).to_owned()
}

fn check_expression(expression: &str, asked: &str) -> Result<(), String> {
    if asked.is_empty() {
        return Err("`expression` has no words: say what the mask shows, as \"the red cup\"".into());
    }
    let found = expression.chars().count();
    if found > MAX_EXPRESSION {
        return Err(format!(
            "`expression` of at most {MAX_EXPRESSION} characters expected, found {found}"
        ));
    }
    match RESERVED.iter().find(|word| expression.contains(**word) || asked.contains(**word)) {
        Some(word) => Err(format!("`expression` has `{word}`, which is reserved; remove it")),
        None => Ok(()),
    }
}

fn check_path(key: &str, name: &str) -> Result<(), String> {
    if relative_path(name).is_some() {
        return Ok(());
    }
    let name: String = name.chars().take(200).flat_map(char::escape_debug).collect();
    Err(format!(
        "`{key}` is `{name}`: a path inside the folder expected, with `/` and without `..`"
    ))
}

fn check_mask(mask: &RawSegmentation) -> Result<(), String> {
    match mask {
        RawSegmentation::Png(file) => check_path("mask", file),
        RawSegmentation::Polygons(parts) => {
            if !parts.iter().any(|part| part.len() >= 2 * MIN_POINTS) {
                return Err(
                    "`mask` encloses nothing: a polygon of three or more points (six numbers) \
                     expected, or null for no target"
                        .into(),
                );
            }
            let within = -MAX_COORDINATE..=MAX_COORDINATE;
            let far = parts.iter().flat_map(|part| part.iter()).find(|x| !within.contains(x));
            far.map_or(Ok(()), |far| {
                Err(format!("`mask` has the coordinate {far}: at most {MAX_COORDINATE} expected"))
            })
        }
        RawSegmentation::RunLengths(parts) => parts
            .iter()
            .try_for_each(|part| check_runs(part).map_err(|why| format!("`mask`: {why}"))),
    }
}

/// Compressed runs are decoded once to be sure of them; plain ones have been added up.
fn check_runs(runs: &RawRunLengths) -> Result<(), String> {
    match runs.counts {
        RawCounts::List(_) => Ok(()),
        RawCounts::Text(_) => {
            EncodedRle::from(runs).decode().map(|_| ()).map_err(|error| error.to_string())
        }
    }
}

/// The message of `serde_json`, whose own line is always 1.
fn without_line(error: serde_json::Error) -> String {
    let text = error.to_string();
    let detail = text.rsplit_once(" at line ").map_or(&*text, |(detail, _)| detail);
    format!("{detail} (column {})", error.column())
}

/// The mask in all its spellings; the key may not be left out, so that a misspelt one is noticed.
struct Mask(Option<RawSegmentation>);

impl<'de> Deserialize<'de> for Mask {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MaskVisitor)
    }
}

struct MaskVisitor;

impl<'de> Visitor<'de> for MaskVisitor {
    type Value = Mask;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "`mask` as the path of a PNG, a polygon or a list of them, run lengths with size and \
             counts, or null for no target",
        )
    }

    fn visit_unit<E>(self) -> Result<Mask, E> {
        Ok(Mask(None))
    }

    fn visit_str<E>(self, file: &str) -> Result<Mask, E> {
        Ok(Mask(Some(RawSegmentation::Png(file.into()))))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Mask, A::Error> {
        RawSegmentation::deserialize(MapAccessDeserializer::new(map)).map(|mask| Mask(Some(mask)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Mask, A::Error> {
        let (mut flat, mut parts) = (Vec::new(), Vec::new());
        while let Some(item) = seq.next_element()? {
            match item {
                Item::Number(number) => flat.push(number),
                Item::Part(part) => parts.push(part),
            }
        }
        if !flat.is_empty() {
            if !parts.is_empty() {
                return Err(A::Error::custom("numbers and lists side by side in `mask`"));
            }
            parts.push(Part::polygon(flat)?);
        }
        RawSegmentation::from_parts(parts).map(|mask| Mask(Some(mask)))
    }
}

/// An item of a mask that is a list.
enum Item {
    Number(f64),
    Part(Part),
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Item;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a coordinate, a polygon (x0, y0, x1, y1, …) or run lengths")
            }

            fn visit_f64<E>(self, number: f64) -> Result<Item, E> {
                Ok(Item::Number(number))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Item, E> {
                Ok(Item::Number(number as f64))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Item, E> {
                Ok(Item::Number(number as f64))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Item, A::Error> {
                Part::deserialize(SeqAccessDeserializer::new(seq)).map(Item::Part)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Item, A::Error> {
                Part::deserialize(MapAccessDeserializer::new(map)).map(Item::Part)
            }
        }

        deserializer.deserialize_any(Either)
    }
}
