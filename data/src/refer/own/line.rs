//! One line: an image, an expression and a mask.

use serde::Deserialize;

use super::super::MaskSource;
use super::super::json_records::message;
use super::super::names::Names;
use crate::leniency::whole_number;
use crate::mask::Segmentation;
use crate::prompt::IMAGE;
use crate::tokenizer::{IMG_CONTEXT, IMG_END, IMG_START, REJ, SEG};

/// The longest expression, in characters.
const MAX_EXPRESSION: usize = 1000;
/// Tokens that have their own meaning for the model.
const RESERVED: [&str; 7] = [IMAGE, IMG_START, IMG_END, IMG_CONTEXT, SEG, REJ, "<|im_"];

/// A line, checked as far as it can be without the image.
pub(super) struct Line {
    pub image: Box<str>,
    /// As it was typed.
    pub raw: Box<str>,
    /// As the model receives it.
    pub sent: Box<str>,
    /// `None` without a target.
    pub mask: Option<MaskSource>,
}

impl Line {
    pub(super) fn parse(bytes: &[u8], names: &Names) -> Result<Self, String> {
        let record: Record = serde_json::from_slice(bytes)
            .map_err(|error| format!("{} (column {})", message(&error), error.column()))?;
        let image = find("image", &record.image, names)?;
        let sent = normalized(&record.expression);
        check_expression(&record.expression, &sent)?;
        let Record { expression, mut mask, mask_value, .. } = record;
        match (&mut mask, &mask_value) {
            (Some(MaskSource::Png { file, value }), _) => {
                *file = find("mask", file, names)?;
                *value = mask_value.map(|Value(value)| value);
            }
            (Some(MaskSource::Inline(segmentation)), None) => check_mask(segmentation)?,
            (None, None) => {}
            (_, Some(_)) => {
                return Err("`mask_value` picks a value of a PNG, but `mask` is none".into());
            }
        }
        Ok(Self { image, raw: expression, sent: sent.into(), mask })
    }
}

#[derive(Deserialize)]
struct Record {
    image: Box<str>,
    expression: Box<str>,
    /// May be null but not left out, so that a misspelt key is noticed.
    #[serde(deserialize_with = "Option::deserialize")]
    mask: Option<MaskSource>,
    /// The value of an index mask that counts.
    mask_value: Option<Value>,
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Value(#[serde(deserialize_with = "whole_number")] u16);

/// An expression as the published sets write it for the model, and as training uses it: lower case,
/// single spaces, no full stop at the end. Other punctuation stays.
fn normalized(expression: &str) -> String {
    let words: Vec<&str> = expression.split_whitespace().collect();
    words.join(" ").to_lowercase().trim_matches(['.', ' ']).to_owned()
}

fn check_expression(expression: &str, normalized: &str) -> Result<(), String> {
    if normalized.is_empty() {
        return Err(
            "`expression` has no words: describe what the mask shows, such as \"the red cup\""
                .into(),
        );
    }
    let found = expression.chars().count();
    if found > MAX_EXPRESSION {
        return Err(format!(
            "`expression` of at most {MAX_EXPRESSION} characters expected, found {found}"
        ));
    }
    match RESERVED.iter().find(|word| expression.contains(**word) || normalized.contains(**word)) {
        Some(word) => Err(format!("`expression` has `{word}`, which is reserved; remove it")),
        None => Ok(()),
    }
}

fn find(key: &str, name: &str, names: &Names) -> Result<Box<str>, String> {
    names.find(name).map_err(|_| {
        let name: String = name.chars().take(200).flat_map(char::escape_debug).collect();
        format!("`{key}` is `{name}`: a path inside the folder expected, with `/` and without `..`")
    })
}

fn check_mask(segmentation: &Segmentation) -> Result<(), String> {
    segmentation.check().map_err(|error| format!("`mask`: {error}"))?;
    match segmentation {
        shape if shape.has_no_area() => {
            Err("`mask` encloses nothing: a polygon of three or more points (six numbers) \
                 expected, or null for no target"
                .into())
        }
        Segmentation::Polygons(_) => Ok(()),
        Segmentation::Rles(encodings) => encodings.iter().try_for_each(|encoding| {
            encoding.decode().map(drop).map_err(|error| format!("`mask`: {error}"))
        }),
    }
}
