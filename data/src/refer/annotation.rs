//! An annotated object and where its mask comes from.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::AnnotationId;
use super::ids::{flag, integer};
use crate::mask::Segmentation;

/// An annotated object.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub struct Annotation {
    /// Its identifier.
    pub id: AnnotationId,
    /// The image that it is in.
    #[serde(deserialize_with = "integer")]
    pub image_id: i64,
    /// Its category.
    #[serde(deserialize_with = "integer")]
    pub category_id: i64,
    /// Its box: left, top, width and height, in pixels. Own data give none: zeros.
    pub bbox: [f64; 4],
    /// Whether it marks a crowd rather than one object; false where the file does not say.
    #[serde(rename = "iscrowd", default, deserialize_with = "flag")]
    pub is_crowd: bool,
    /// Its shape. Published data always have it in the file itself.
    #[serde(deserialize_with = "written_out")]
    pub segmentation: MaskSource,
}

/// Where the mask of an annotation comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum MaskSource {
    /// From the annotation.
    Inline(Segmentation),
    /// From a PNG: its path below the folder of own data, which it does not lead out of.
    Png(Box<str>),
}

fn written_out<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MaskSource, D::Error> {
    Segmentation::deserialize(deserializer).map(MaskSource::Inline)
}

impl<'de> Deserialize<'de> for MaskSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MaskVisitor)
    }
}

struct MaskVisitor;

impl<'de> Visitor<'de> for MaskVisitor {
    type Value = MaskSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "`mask` as the path of a PNG, a polygon or a list of them, run lengths with size and \
             counts, or null for no target",
        )
    }

    fn visit_str<E>(self, path: &str) -> Result<MaskSource, E> {
        Ok(MaskSource::Png(path.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MaskSource, A::Error> {
        written_out(MapAccessDeserializer::new(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<MaskSource, A::Error> {
        written_out(SeqAccessDeserializer::new(parts))
    }
}
