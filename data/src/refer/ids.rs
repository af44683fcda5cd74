//! Identifiers, as loosely as the published files write them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error};

/// The identifier of an annotation: a number in the data sets on COCO images, text such as `8756_2`
/// in refclef.
///
/// A file may write a number as an integer, as an integral float such as `42.0`, or as text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(try_from = "WrittenId")]
pub enum AnnotationId {
    /// A number.
    Number(i64),
    /// Text that is not a number.
    Name(Box<str>),
}

#[derive(serde::Deserialize)]
#[serde(untagged, expecting = "an identifier expected: an integer of at most 64 bits, or text")]
enum WrittenId {
    Integer(i64),
    Float(f64),
    Text(Box<str>),
}

impl TryFrom<WrittenId> for AnnotationId {
    type Error = String;

    fn try_from(written: WrittenId) -> Result<Self, String> {
        const EXACT: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;
        match written {
            WrittenId::Integer(number) => Ok(Self::Number(number)),
            WrittenId::Float(number) if number.fract() == 0.0 && number.abs() <= EXACT => {
                Ok(Self::Number(number as i64))
            }
            WrittenId::Float(number) => {
                Err(format!("an integer of at most 64 bits expected, found {number}"))
            }
            WrittenId::Text(text) => Ok(match text.parse::<i64>() {
                Ok(number) if *number.to_string() == *text => Self::Number(number),
                _ => Self::Name(text),
            }),
        }
    }
}

impl AnnotationId {
    /// What gRefCOCO writes for "no target".
    pub(super) const NO_TARGET: Self = Self::Number(-1);

    /// The number, where only a number will do.
    pub(super) fn number(self) -> Result<i64, String> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Name(_) => Err(format!("an integer expected, found the text {self}")),
        }
    }
}

impl From<i64> for AnnotationId {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl fmt::Display for AnnotationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => write!(f, "`{}`", name.escape_debug()),
        }
    }
}

/// Reads an integer that is written as an [`AnnotationId`] may be.
pub(super) fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    AnnotationId::deserialize(deserializer)?.number().map_err(D::Error::custom)
}

/// Reads a flag, a bool or an `Option` of one: it is written as a bool, as an integer, or as null.
pub(super) fn flag<'de, D: Deserializer<'de>, T: From<bool> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged, expecting = "a flag expected: true, false, 1, 0 or null")]
    enum Written {
        Bool(bool),
        Integer(AnnotationId),
        Nothing(()),
    }

    Ok(match Written::deserialize(deserializer)? {
        Written::Bool(flag) => flag.into(),
        Written::Integer(id) => (id.number().map_err(D::Error::custom)? != 0).into(),
        Written::Nothing(()) => T::default(),
    })
}

/// Reads one identifier, a list of them, or null: `ann_id` is written in all three ways.
pub(super) fn one_or_many<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<AnnotationId>, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged, expecting = "an identifier, a list of them, or null expected")]
    enum Written {
        One(AnnotationId),
        Many(Vec<AnnotationId>),
        Nothing(()),
    }

    Ok(match Written::deserialize(deserializer)? {
        Written::One(id) => vec![id],
        Written::Many(ids) => ids,
        Written::Nothing(()) => Vec::new(),
    })
}
