//! One line: an image, an expression and a mask.

use serde::Deserialize;

use super::super::MaskSource;
use super::super::instances::relative_path;
use super::super::json_records::message;
use crate::mask::Segmentation;
use crate::prompt::IMAGE;
use crate::tokenizer::{IMG_CONTEXT, IMG_END, IMG_START, REJ, SEG};

/// The longest expression, in characters.
const MAX_EXPRESSION: usize = 1000;
/// Tokens that have their own meaning for the model.
const RESERVED: [&str; 7] = [IMAGE, IMG_START, IMG_END, IMG_CONTEXT, SEG, REJ, "<|im_"];
/// The coordinates of three points: fewer enclose nothing.
const MIN_NUMBERS: usize = 6;

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
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let record: Record = serde_json::from_slice(bytes)
            .map_err(|error| format!("{} (column {})", message(&error), error.column()))?;
        check_path("image", &record.image)?;
        let sent = normalized(&record.expression);
        check_expression(&record.expression, &sent)?;
        record.mask.as_ref().map_or(Ok(()), check_mask)?;
        let Record { image, expression, mask } = record;
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
}

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

fn check_path(key: &str, name: &str) -> Result<(), String> {
    if relative_path(name).is_some() {
        return Ok(());
    }
    let name: String = name.chars().take(200).flat_map(char::escape_debug).collect();
    Err(format!(
        "`{key}` is `{name}`: a path inside the folder expected, with `/` and without `..`"
    ))
}

fn check_mask(mask: &MaskSource) -> Result<(), String> {
    let segmentation = match mask {
        MaskSource::Png(file) => return check_path("mask", file),
        MaskSource::Inline(segmentation) => segmentation,
    };
    segmentation.check().map_err(|error| format!("`mask`: {error}"))?;
    match segmentation {
        Segmentation::Polygons(parts) if parts.iter().all(|part| part.len() < MIN_NUMBERS) => {
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
