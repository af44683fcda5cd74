//! Identifiers, as loosely as the published files write them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, IntoDeserializer, Visitor};

use crate::leniency::{Leniency, note, number_in, whole_number};

/// The identifier of an annotation: a number in the data sets on COCO images, text such as `8756_2`
/// in refclef.
///
/// A file may write a number as an integer, as an integral float such as `42.0`, or as text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AnnotationId {
    /// A number.
    Number(i64),
    /// Text that is not a number.
    Name(Box<str>),
}

impl<'de> Deserialize<'de> for AnnotationId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor)
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = AnnotationId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an identifier: an integer of at most 64 bits, or text")
    }

    fn visit_i64<E>(self, number: i64) -> Result<AnnotationId, E> {
        Ok(number.into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<AnnotationId, E> {
        whole_number(number.into_deserializer()).map(AnnotationId::Number)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<AnnotationId, E> {
        whole_number(number.into_deserializer()).map(AnnotationId::Number)
    }

    fn visit_str<E>(self, text: &str) -> Result<AnnotationId, E> {
        Ok(match number_in(text) {
            Some(number) => {
                note(Leniency::NumberAsText);
                number.into()
            }
            None => AnnotationId::Name(text.into()),
        })
    }
}

impl AnnotationId {
    /// What gRefCOCO writes for "no target".
    pub(super) const NO_TARGET: Self = Self::Number(-1);
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

/// Reads a flag, a bool or an `Option` of one: it is written as a bool, as an integer, or as null.
pub(super) fn flag<'de, D: Deserializer<'de>, T: From<bool> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged, expecting = "a flag expected: true, false, 1, 0 or null")]
    enum Written {
        Bool(bool),
        Integer(#[serde(deserialize_with = "whole_number")] i64),
        Nothing(()),
    }

    Ok(match Written::deserialize(deserializer)? {
        Written::Bool(flag) => flag.into(),
        Written::Integer(number) => (number != 0).into(),
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

/// Reads a flag that nothing needs: what is none counts as false.
pub(super) fn crowd_flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(match Loose::<i64>::deserialize(deserializer)? {
        Loose::Is(flag @ (0 | 1)) => flag == 1,
        other => {
            note(Leniency::CrowdFlag);
            matches!(other, Loose::Is(_) | Loose::Flag(true))
        }
    })
}

/// Reads a value that nothing needs: what is no `T` counts as absent.
pub(super) fn optional<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Ok(match Loose::deserialize(deserializer)? {
        Loose::Is(value) => Some(value),
        _ => None,
    })
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Loose<T> {
    Is(T),
    Flag(bool),
    Other(IgnoredAny),
}
