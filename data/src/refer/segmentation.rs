//! The `segmentation` of an annotation as the files hold it, checked but not yet drawn.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor, value};

use crate::mask::{EncodedRle, RleCounts};

/// The segmentation of one annotation: polygons, or run lengths.
#[derive(Debug, Clone, PartialEq)]
pub enum RawSegmentation {
    /// Polygons, each `x0, y0, x1, y1, …` in pixels; the mask is their union. May be empty, and may
    /// hold parts of fewer than three points, which enclose nothing.
    Polygons(Vec<Box<[f64]>>),
    /// Run lengths, the mask being their union: one in COCO, a list of one in refclef.
    RunLengths(Vec<RawRunLengths>),
    /// The path of a PNG below the folder of own data, which it does not lead out of.
    Png(Box<str>),
}

/// Run lengths over the columns of a mask, the first run being background.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRunLengths {
    /// Height and width in pixels, in the order of the file.
    pub size: [u32; 2],
    /// The runs.
    pub counts: RawCounts,
}

/// Run lengths, plain or in COCO's compressed text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawCounts {
    /// Plain lengths; their sum is height times width.
    List(Box<[u32]>),
    /// COCO's compressed text: characters `0` to `o` only.
    Text(Box<str>),
}

impl RawSegmentation {
    /// From a list of polygons only, or of run lengths only.
    pub(super) fn from_parts<E: Error>(parts: Vec<Part>) -> Result<Self, E> {
        let (mut polygons, mut run_lengths) = (Vec::new(), Vec::new());
        for part in parts {
            match part {
                Part::Polygon(points) => polygons.push(points),
                Part::RunLengths(runs) => run_lengths.push(runs),
            }
        }
        if !polygons.is_empty() && !run_lengths.is_empty() {
            return Err(E::custom("polygons and run lengths in one segmentation"));
        }
        polygons.shrink_to_fit();
        run_lengths.shrink_to_fit();
        Ok(if run_lengths.is_empty() {
            Self::Polygons(polygons)
        } else {
            Self::RunLengths(run_lengths)
        })
    }

    /// The bytes on the heap that it owns.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Polygons(parts) => {
                parts.capacity() * size_of::<Box<[f64]>>()
                    + parts.iter().map(|part| part.len() * size_of::<f64>()).sum::<usize>()
            }
            Self::RunLengths(parts) => {
                let counts = parts.iter().map(|part| match &part.counts {
                    RawCounts::List(runs) => runs.len() * size_of::<u32>(),
                    RawCounts::Text(text) => text.len(),
                });
                parts.capacity() * size_of::<RawRunLengths>() + counts.sum::<usize>()
            }
            Self::Png(file) => file.len(),
        }
    }
}

impl From<&RawRunLengths> for EncodedRle {
    fn from(raw: &RawRunLengths) -> Self {
        let counts = match &raw.counts {
            RawCounts::List(runs) => RleCounts::Runs(runs.to_vec()),
            RawCounts::Text(text) => RleCounts::Compressed(text.to_string()),
        };
        Self { size: raw.size, counts }
    }
}

impl<'de> Deserialize<'de> for RawSegmentation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = RawSegmentation;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a segmentation: a list of polygons, or run lengths with size and counts",
                )
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawSegmentation, A::Error> {
                let runs =
                    Fields::deserialize(value::MapAccessDeserializer::new(map))?.checked()?;
                Ok(RawSegmentation::RunLengths(vec![runs]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RawSegmentation, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = seq.next_element()? {
                    parts.push(part);
                }
                RawSegmentation::from_parts(parts)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// One item of a segmentation that is a list.
pub(super) enum Part {
    Polygon(Box<[f64]>),
    RunLengths(RawRunLengths),
}

impl Part {
    pub(super) fn polygon<E: Error>(points: Vec<f64>) -> Result<Self, E> {
        if !points.len().is_multiple_of(2) {
            let detail =
                format!("a polygon of x, y pairs expected, found {} numbers", points.len());
            return Err(E::custom(detail));
        }
        Ok(Self::Polygon(points.into()))
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Item;

        impl<'de> Visitor<'de> for Item {
            type Value = Part;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a polygon (x0, y0, x1, y1, …) or run lengths")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Part, A::Error> {
                Fields::deserialize(value::MapAccessDeserializer::new(map))?
                    .checked()
                    .map(Part::RunLengths)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Part, A::Error> {
                let mut points = Vec::new();
                while let Some(coordinate) = seq.next_element()? {
                    points.push(coordinate);
                }
                Part::polygon(points)
            }
        }

        deserializer.deserialize_any(Item)
    }
}

/// Run lengths as the file spells them.
#[derive(serde::Deserialize)]
struct Fields {
    size: [u32; 2],
    counts: RawCounts,
}

impl Fields {
    fn checked<E: serde::de::Error>(self) -> Result<RawRunLengths, E> {
        let Self { size, counts } = self;
        match &counts {
            RawCounts::List(runs) => {
                let pixels = u64::from(size[0]) * u64::from(size[1]);
                let covered: u64 = runs.iter().map(|&run| u64::from(run)).sum();
                if covered != pixels {
                    let [height, width] = size;
                    return Err(E::custom(format!(
                        "run lengths for {height} x {width} = {pixels} pixels expected, found {covered}"
                    )));
                }
            }
            RawCounts::Text(text) => {
                if let Some(odd) = text.chars().find(|character| !('0'..='o').contains(character)) {
                    return Err(E::custom(format!(
                        "compressed run lengths (characters `0` to `o`) expected, found {odd:?}"
                    )));
                }
            }
        }
        Ok(RawRunLengths { size, counts })
    }
}

impl<'de> Deserialize<'de> for RawCounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = RawCounts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("run lengths as a list of integers or as text")
            }

            fn visit_str<E>(self, text: &str) -> Result<RawCounts, E> {
                Ok(RawCounts::Text(text.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RawCounts, A::Error> {
                let mut runs = Vec::new();
                while let Some(run) = seq.next_element()? {
                    runs.push(run);
                }
                Ok(RawCounts::List(runs.into()))
            }
        }

        deserializer.deserialize_any(Either)
    }
}
