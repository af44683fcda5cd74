//! Identifiers, as loosely as the published files write them.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// The identifier of an annotation: a number in the data sets on COCO images, text such as `8756_2`
/// in refclef.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AnnotationId {
    /// A number.
    Number(i64),
    /// Text that is not a number.
    Name(Box<str>),
}

impl AnnotationId {
    /// What gRefCOCO writes for "no target".
    pub(super) const NO_TARGET: Self = Self::Number(-1);

    /// From text: a number written as text is that number.
    pub(super) fn from_text(text: &str) -> Self {
        match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => Self::Number(number),
            _ => Self::Name(text.into()),
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

/// The integer that a float stands for, if it stands for one exactly.
pub(super) fn whole(float: f64) -> Option<i64> {
    const EXACT: f64 = (1_u64 << 53) as f64;
    (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i64)
}

/// A JSON integer, an integral float such as `42.0`, or an integer as text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Whole(pub i64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(IdVisitor)? {
            AnnotationId::Number(number) => Ok(Self(number)),
            AnnotationId::Name(name) => {
                Err(de::Error::invalid_value(de::Unexpected::Str(&name), &"an integer"))
            }
        }
    }
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

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<AnnotationId, E> {
        Ok(AnnotationId::Number(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<AnnotationId, E> {
        i64::try_from(number)
            .map(AnnotationId::Number)
            .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<AnnotationId, E> {
        whole(number)
            .map(AnnotationId::Number)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Float(number), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<AnnotationId, E> {
        Ok(AnnotationId::from_text(text))
    }
}

/// One value, a list of them, or nothing: `ann_id` and `category_id` are written in all three ways.
#[derive(Debug)]
pub(super) struct OneOrMany<T>(pub Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an identifier, a list of them, or null")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Vec<T>, E> {
                Ok(Vec::new())
            }

            fn visit_i64<E: de::Error>(self, id: i64) -> Result<Vec<T>, E> {
                T::deserialize(de::value::I64Deserializer::new(id)).map(|id| vec![id])
            }

            fn visit_u64<E: de::Error>(self, id: u64) -> Result<Vec<T>, E> {
                T::deserialize(de::value::U64Deserializer::new(id)).map(|id| vec![id])
            }

            fn visit_f64<E: de::Error>(self, id: f64) -> Result<Vec<T>, E> {
                T::deserialize(de::value::F64Deserializer::new(id)).map(|id| vec![id])
            }

            fn visit_str<E: de::Error>(self, id: &str) -> Result<Vec<T>, E> {
                T::deserialize(de::value::StrDeserializer::new(id)).map(|id| vec![id])
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut ids: A) -> Result<Vec<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(id) = ids.next_element()? {
                    list.push(id);
                }
                Ok(list)
            }
        }

        deserializer.deserialize_any(Items(std::marker::PhantomData)).map(Self)
    }
}
