//! An annotated object and where its mask comes from.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::AnnotationId;
use super::ids::{crowd_flag, optional};
use crate::leniency::whole_number;
use crate::mask::Segmentation;

/// An annotated object.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub struct Annotation {
    /// Its identifier.
    pub id: AnnotationId,
    /// The image that it is in.
    #[serde(deserialize_with = "whole_number")]
    pub image_id: i64,
    /// Its category, if the file says one.
    #[serde(default, deserialize_with = "optional")]
    pub category_id: Option<i64>,
    /// Its box: left, top, width and height, in pixels. Own data, and some files, give none.
    #[serde(default, deserialize_with = "optional")]
    pub bbox: Option<[f64; 4]>,
    /// Whether it marks a crowd rather than one object; false where the file does not say.
    #[serde(rename = "iscrowd", default, deserialize_with = "crowd_flag")]
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
    /// From a PNG of own data.
    Png {
        /// Its path below the folder, which it does not lead out of.
        file: Box<str>,
        /// The value that counts, in an index mask; else all but black.
        value: Option<u16>,
    },
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
        Ok(MaskSource::Png { file: path.into(), value: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MaskSource, A::Error> {
        written_out(MapAccessDeserializer::new(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<MaskSource, A::Error> {
        written_out(SeqAccessDeserializer::new(parts))
    }
}
