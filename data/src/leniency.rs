//! What tools write otherwise than COCO and RefCOCO do, and what is read all the same: counted, told, and refused
//! where the user asks for that.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error, Visitor};
use strum::Display;

/// One kind of it; displayed as what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Display)]
pub enum Leniency {
    /// `"7"`, `"000000000007"`.
    #[strum(to_string = "numbers written as text")]
    NumberAsText,
    /// `224.0`.
    #[strum(to_string = "whole numbers written with a fraction")]
    WholeFloat,
    /// `iscrowd` as a bool, or as something else.
    #[strum(to_string = "crowd flags other than 0 and 1")]
    CrowdFlag,
    /// `NaN`, `Infinity`.
    #[strum(to_string = "records with NaN or Infinity, read as null")]
    NotANumber,
    /// `bbox` absent or no box.
    #[strum(to_string = "annotations without a box, which is taken from the mask")]
    NoBox,
    /// `category_id` absent or no number.
    #[strum(to_string = "annotations without a category")]
    NoCategory,
    /// `[[x, y], ...]`.
    #[strum(to_string = "polygons written as points [[x, y], ...]")]
    PointPairs,
    /// `"b'...'"`.
    #[strum(to_string = "run lengths written as Python bytes")]
    BytesAsText,
    /// A sentence that is no record with `sent` or `raw`.
    #[strum(to_string = "sentences under another key than `sent`")]
    SentenceKey,
    /// A sentence without an identifier.
    #[strum(to_string = "sentences without a `sent_id`, numbered in the order of the file")]
    NoSentenceId,
    /// A ref that belongs to no split.
    #[strum(to_string = "refs without a `split`, which belong to none")]
    NoSplit,
    /// JSON lines, or a list within a dict.
    #[strum(to_string = "files of refs that are no plain list")]
    Wrapped,
    /// `./a.jpg`, `b\a.jpg`, `/data/b/a.jpg`.
    #[strum(to_string = "file names that are no plain relative paths")]
    FileName,
    /// `A.JPG` for `a.jpg`.
    #[strum(to_string = "file names in other upper and lower case")]
    LetterCase,
    /// The mark that Windows programs write.
    #[strum(to_string = "files that begin with a byte order mark")]
    ByteOrderMark,
}

/// How often each kind was read, and where first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leniencies(BTreeMap<Leniency, (usize, String)>);

impl Leniencies {
    /// Each kind, how often it was read, and where first.
    pub fn iter(&self) -> impl Iterator<Item = (Leniency, usize, &str)> {
        self.0.iter().map(|(kind, (count, first))| (*kind, *count, &**first))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts one, at this place.
    pub(crate) fn one(&mut self, kind: Leniency, place: &dyn fmt::Display) {
        self.0.entry(kind).or_insert_with(|| (0, place.to_string())).0 += 1;
    }

    /// Runs `read`, and counts what it notes unless it fails; `place` says where that is.
    pub(crate) fn count<T, E>(
        &mut self,
        place: impl FnOnce(&T) -> String,
        read: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let before = NOTED.take();
        let result = read();
        let noted = NOTED.replace(before);
        if let Ok(value) = &result
            && !noted.is_empty()
        {
            let place = place(value);
            noted.into_iter().for_each(|kind| self.one(kind, &place));
        }
        result
    }
}

impl fmt::Display for Leniencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (kind, count, first)) in self.iter().enumerate() {
            write!(f, "{}{count} {kind} (first in {first})", if index > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}

thread_local! {
    /// What was noted since the innermost [`Leniencies::count`] began: serde gives readers no way to hand it on.
    static NOTED: RefCell<Vec<Leniency>> = const { RefCell::new(Vec::new()) };
}

/// Says that something of this kind is being read.
pub(crate) fn note(kind: Leniency) {
    NOTED.with_borrow_mut(|noted| noted.push(kind));
}

/// A whole number of this text, however it is padded.
pub(crate) fn number_in(text: &str) -> Option<i64> {
    let text = text.trim();
    text.strip_suffix(".0").unwrap_or(text).parse().ok()
}

/// Reads a whole number that is written as one, with a fraction of zero, or as text.
pub(crate) fn whole_number<'de, D: Deserializer<'de>, T: TryFrom<i64>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let number = deserializer.deserialize_any(WholeNumber)?;
    let out_of_range =
        || D::Error::custom(format!("a number within its range expected, found {number}"));
    T::try_from(number).map_err(|_| out_of_range())
}

struct WholeNumber;

impl Visitor<'_> for WholeNumber {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer of at most 64 bits")
    }

    fn visit_i64<E>(self, number: i64) -> Result<i64, E> {
        Ok(number)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<i64, E> {
        i64::try_from(number).map_err(|_| {
            E::custom(format!("an integer of at most 64 bits expected, found {number}"))
        })
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<i64, E> {
        const EXACT: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;
        if number.fract() != 0.0 || number.abs() > EXACT {
            return Err(E::custom(format!(
                "an integer of at most 64 bits expected, found {number}"
            )));
        }
        note(Leniency::WholeFloat);
        Ok(number as i64)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<i64, E> {
        let shown = || text.chars().take(80).flat_map(char::escape_debug).collect::<String>();
        let number = number_in(text);
        let number = number.ok_or_else(|| {
            E::custom(format!("an integer expected, found the text `{}`", shown()))
        })?;
        note(Leniency::NumberAsText);
        Ok(number)
    }
}
