//! A segmentation as annotation files write it: polygons, or one or several run-length encodings.

use std::fmt;

use serde::de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::polygon::rasterize;
use super::{Bitmap, MaskError, Rle, check_same_size};

/// The `segmentation` of an annotation.
///
/// All forms of COCO and of the RefCOCO family are read: `[[x1, y1, x2, y2, ...], ...]`, `{"size":
/// [height, width], "counts": [...]}`, the same with `counts` as a compressed string, and a list of
/// such objects. Only the form is checked when reading; [`Segmentation::to_bitmap`] checks the
/// content, so that one bad annotation does not hide a whole file.
#[derive(Debug, Clone, PartialEq)]
pub enum Segmentation {
    /// Polygons, each `[x1, y1, x2, y2, ...]` in pixels; their union is the mask.
    Polygons(Vec<Vec<f64>>),
    /// Run-length encodings; their union is the mask.
    Rles(Vec<EncodedRle>),
}

impl Segmentation {
    /// The mask over an image of height x width pixels; empty when nothing is listed.
    ///
    /// Polygons of fewer than three points are dropped, and the rest united, as pycocotools would.
    ///
    /// # Errors
    /// [`MaskError`] for an image larger than [`super::MAX_PIXELS`] or content that is no mask of
    /// it.
    pub fn to_bitmap(&self, height: usize, width: usize) -> Result<Bitmap, MaskError> {
        match self {
            Self::Polygons(polygons) => rasterize(height, width, polygons),
            Self::Rles(encodings) => {
                let mut mask = Bitmap::new(height, width)?;
                for encoding in encodings {
                    check_same_size(mask.size(), encoding.size.map(|side| side as usize))?;
                    encoding.decode()?.paint(&mut mask);
                }
                Ok(mask)
            }
        }
    }
}

impl From<Rle> for Segmentation {
    fn from(rle: Rle) -> Self {
        Self::Rles(vec![rle.into()])
    }
}

/// A run-length encoding as a file has it, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncodedRle {
    /// `[height, width]` in pixels.
    pub size: [u32; 2],
    /// The runs.
    pub counts: RleCounts,
}

impl EncodedRle {
    /// The encoding, checked.
    ///
    /// # Errors
    /// As [`Rle::new`] and [`Rle::from_coco_string`].
    pub fn decode(&self) -> Result<Rle, MaskError> {
        match &self.counts {
            RleCounts::Runs(counts) => Rle::new(self.size, counts.clone()),
            RleCounts::Compressed(text) => Rle::from_coco_string(self.size, text),
        }
    }
}

impl TryFrom<EncodedRle> for Rle {
    type Error = MaskError;

    fn try_from(encoded: EncodedRle) -> Result<Self, MaskError> {
        encoded.decode()
    }
}

impl From<Rle> for EncodedRle {
    fn from(rle: Rle) -> Self {
        Self { size: rle.size(), counts: RleCounts::Compressed(rle.to_coco_string()) }
    }
}

/// The two ways to write runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RleCounts {
    /// The lengths themselves, background first (COCO's crowd regions).
    Runs(Vec<u32>),
    /// COCO's compressed string.
    Compressed(String),
}

impl<'de> Deserialize<'de> for RleCounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountsVisitor)
    }
}

struct CountsVisitor;

impl<'de> Visitor<'de> for CountsVisitor {
    type Value = RleCounts;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("`counts` as a list of run lengths or a compressed RLE string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<RleCounts, E> {
        Ok(RleCounts::Compressed(text.to_owned()))
    }

    // Pickled annotations hold pycocotools' own `bytes`.
    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<RleCounts, E> {
        let text = std::str::from_utf8(bytes)
            .map_err(|_| E::invalid_value(de::Unexpected::Bytes(bytes), &self))?;
        self.visit_str(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut runs: A) -> Result<RleCounts, A::Error> {
        let mut counts = Vec::new();
        while let Some(run) = runs.next_element()? {
            counts.push(run);
        }
        Ok(RleCounts::Runs(counts))
    }
}

impl Serialize for Segmentation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Polygons(polygons) => polygons.serialize(serializer),
            Self::Rles(encodings) => match encodings.as_slice() {
                [only] => only.serialize(serializer),
                several => several.serialize(serializer),
            },
        }
    }
}

impl<'de> Deserialize<'de> for Segmentation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SegmentationVisitor)
    }
}

struct SegmentationVisitor;

impl<'de> Visitor<'de> for SegmentationVisitor {
    type Value = Segmentation;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(
            "a segmentation: a list of polygons [[x1, y1, x2, y2, ...], ...], \
             an RLE object {\"size\": [height, width], \"counts\": ...} or a list of RLE objects",
        )
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Segmentation, A::Error> {
        let encoding = EncodedRle::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Segmentation::Rles(vec![encoding]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Segmentation, A::Error> {
        let (mut polygons, mut encodings) = (Vec::new(), Vec::new());
        while let Some(part) = parts.next_element()? {
            match part {
                Part::Polygon(polygon) => polygons.push(polygon),
                Part::Rle(encoding) => encodings.push(encoding),
            }
        }
        match (polygons.is_empty(), encodings.is_empty()) {
            (_, true) => Ok(Segmentation::Polygons(polygons)),
            (true, false) => Ok(Segmentation::Rles(encodings)),
            (false, false) => Err(de::Error::custom(
                "a segmentation: expected only polygons or only RLE objects, found both in one list",
            )),
        }
    }
}

/// One entry of a segmentation's list.
enum Part {
    Polygon(Vec<f64>),
    Rle(EncodedRle),
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PartVisitor)
    }
}

struct PartVisitor;

impl<'de> Visitor<'de> for PartVisitor {
    type Value = Part;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(
            "in a segmentation's list: a polygon [x1, y1, x2, y2, ...] \
             or an RLE object {\"size\": [height, width], \"counts\": ...}",
        )
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Part, A::Error> {
        let mut coordinates = Vec::new();
        while let Some(coordinate) = numbers.next_element()? {
            coordinates.push(coordinate);
        }
        Ok(Part::Polygon(coordinates))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Part, A::Error> {
        EncodedRle::deserialize(MapAccessDeserializer::new(map)).map(Part::Rle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Segmentation {
        serde_json::from_str(json).unwrap()
    }

    fn complaint(json: &str) -> String {
        serde_json::from_str::<Segmentation>(json).unwrap_err().to_string()
    }

    /// A 2 x 2 square in the corner of a 3 x 4 image in every form; `02106` is pycocotools' string
    /// for its runs.
    #[test]
    fn every_form_gives_the_same_mask() {
        let expected = [1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0];
        for json in [
            "[[0, 0, 2.0, 0, 2, 2, 0, 2]]",
            r#"{"size": [3, 4], "counts": [0, 2, 1, 2, 7]}"#,
            r#"{"size": [3, 4], "counts": "02106"}"#,
            r#"[{"size": [3, 4], "counts": "02106"}]"#,
            r#"[{"size": [3, 4], "counts": [0, 2, 10]}, {"counts": [3, 2, 7], "size": [3, 4]}]"#,
        ] {
            let segmentation = read(json);
            assert_eq!(segmentation.to_bitmap(3, 4).unwrap().to_bytes(1), expected, "{json}");
            let written = serde_json::to_string(&segmentation).unwrap();
            assert_eq!(read(&written), segmentation);
        }
        assert!(read("[]").to_bitmap(3, 4).unwrap().is_empty());
    }

    #[test]
    fn the_content_is_checked_against_the_image() {
        let rle = read(r#"{"size": [3, 4], "counts": [12]}"#);
        let expected = MaskError::SizeMismatch { expected: [4, 3], found: [3, 4] };
        assert_eq!(rle.to_bitmap(4, 3), Err(expected));
        let short = read(r#"{"size": [3, 4], "counts": [5, 6]}"#);
        let expected = MaskError::RunTotal { height: 3, width: 4, expected: 12, found: 11 };
        assert_eq!(short.to_bitmap(3, 4), Err(expected));
        let huge = read(r#"{"size": [4000000000, 4000000000], "counts": [1]}"#);
        let found = huge.to_bitmap(4_000_000_000, 4_000_000_000);
        assert!(matches!(found, Err(MaskError::ImageSize { .. })));
        assert_eq!(
            read("[[1, 2, 3]]").to_bitmap(3, 4).unwrap_err().to_string(),
            "polygon 0: expected an even number of coordinates (x1, y1, x2, y2, ...), found 3; \
             correct the annotation"
        );
    }

    #[test]
    fn a_wrong_form_is_named() {
        let flat = complaint("[1, 2, 3, 4, 5, 6]");
        assert!(
            flat.contains("integer `1`, expected in a segmentation's list: a polygon"),
            "{flat}"
        );
        let mixed = complaint(r#"[[1, 2, 3, 4, 5, 6], {"size": [3, 4], "counts": [12]}]"#);
        assert!(mixed.contains("found both in one list"), "{mixed}");
        let negative = complaint(r#"{"size": [3, 4], "counts": [-1, 13]}"#);
        assert!(negative.contains("integer `-1`, expected u32"), "{negative}");
        let missing = complaint(r#"{"size": [3, 4]}"#);
        assert!(missing.contains("missing field `counts`"), "{missing}");
        let null = complaint("null");
        assert!(null.contains("null, expected a segmentation: a list of polygons"), "{null}");
    }
}
