//! A segmentation as annotation files write it: polygons, or one or several run-length encodings.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::bitmap::{Bitmap, check_same_size};
use super::coco_string::check_characters;
use super::error::MaskError;
use super::polygon::{MIN_POINTS, check_coordinates, rasterize};
use super::rle::{EncodedRle, RleCounts};
use crate::leniency::{Leniency, note};

/// The shape of an object, with no spare memory: a data set holds hundreds of thousands.
///
/// Reads all forms of COCO and of the RefCOCO family: a polygon `[x0, y0, x1, y1, ...]` or a list of
/// them, `{"size": [height, width], "counts": [...]}`, the same with `counts` as a compressed
/// string, and a list of such objects. Reading checks the form; [`check`](Self::check) and
/// [`to_bitmap`](Self::to_bitmap) check the content.
///
/// ```
/// use mllmseg_data::mask::Segmentation;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let square: Segmentation = serde_json::from_str("[1, 1, 3, 1, 3, 3, 1, 3]")?;
/// let runs: Segmentation = serde_json::from_str(r#"{"size": [4, 4], "counts": [5, 2, 2, 2, 5]}"#)?;
/// assert_eq!(square.to_bitmap(4, 4)?, runs.to_bitmap(4, 4)?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Segmentation {
    /// Polygons, each `x0, y0, x1, y1, ...` in pixels; their union is the mask. There may be none,
    /// and some may have fewer than three points, which enclose nothing.
    Polygons(Vec<Box<[f64]>>),
    /// Run-length encodings; their union is the mask.
    Rles(Vec<EncodedRle>),
}

impl Segmentation {
    /// Whether it says of itself, without an image, that it encloses nothing: no part has three points.
    pub fn has_no_area(&self) -> bool {
        matches!(self, Self::Polygons(parts) if parts.iter().all(|part| part.len() < 2 * MIN_POINTS))
    }

    /// Checks what is quick to check without the image: all but the lengths in compressed strings.
    ///
    /// # Errors
    /// As [`to_bitmap`](Self::to_bitmap).
    pub fn check(&self) -> Result<(), MaskError> {
        match self {
            Self::Polygons(polygons) => {
                let mut polygons = polygons.iter().enumerate();
                polygons.try_for_each(|(part, polygon)| check_coordinates(part, polygon))
            }
            Self::Rles(encodings) => encodings.iter().try_for_each(|rle| match &rle.counts {
                RleCounts::Runs(_) => rle.decode().map(drop),
                RleCounts::Compressed(text) => check_characters(text),
            }),
        }
    }

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
            "a segmentation: a list of polygons [[x0, y0, x1, y1, ...], ...], \
             an RLE object {\"size\": [height, width], \"counts\": ...} or a list of RLE objects",
        )
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Segmentation, A::Error> {
        let encoding = EncodedRle::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Segmentation::Rles(vec![encoding]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Segmentation, A::Error> {
        let (mut flat, mut polygons, mut encodings) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(part) = parts.next_element()? {
            match part {
                Part::Coordinate(number) => flat.push(number),
                Part::Polygon(polygon) => polygons.push(polygon),
                Part::Rle(encoding) => encodings.push(encoding),
            }
        }
        let kinds = [flat.is_empty(), polygons.is_empty(), encodings.is_empty()];
        if kinds.iter().filter(|empty| !**empty).count() > 1 {
            return Err(A::Error::custom(
                "a segmentation: expected only polygons, only RLE objects or only the coordinates \
                 of one polygon, found several of them in one list",
            ));
        }
        if !flat.is_empty() {
            polygons.push(flat.into());
        } else if polygons.len() >= MIN_POINTS && polygons.iter().all(|part| part.len() == 2) {
            // Each part alone would enclose nothing: these are the points of one polygon.
            note(Leniency::PointPairs);
            polygons = vec![polygons.concat().into()];
        }
        polygons.shrink_to_fit();
        encodings.shrink_to_fit();
        Ok(match encodings.is_empty() {
            true => Segmentation::Polygons(polygons),
            false => Segmentation::Rles(encodings),
        })
    }
}

/// One entry of a segmentation's list.
enum Part {
    Coordinate(f64),
    Polygon(Box<[f64]>),
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
            "in a segmentation's list: a polygon [x0, y0, x1, y1, ...], a coordinate \
             or an RLE object {\"size\": [height, width], \"counts\": ...}",
        )
    }

    fn visit_f64<E>(self, number: f64) -> Result<Part, E> {
        Ok(Part::Coordinate(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Part, E> {
        Ok(Part::Coordinate(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Part, E> {
        Ok(Part::Coordinate(number as f64))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Part, A::Error> {
        let (mut polygon, mut points) = (Vec::new(), 0);
        while let Some(written) = numbers.next_element()? {
            match written {
                Coordinates::One(number) => polygon.push(number),
                Coordinates::Point(point) => {
                    polygon.extend(point);
                    points += 1;
                }
            }
        }
        if points > 0 && polygon.len() != 2 * points {
            return Err(A::Error::custom(
                "a polygon: expected only coordinates or only points [x, y], found both",
            ));
        }
        if points > 0 {
            note(Leniency::PointPairs);
        }
        Ok(Part::Polygon(polygon.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Part, A::Error> {
        EncodedRle::deserialize(MapAccessDeserializer::new(map)).map(Part::Rle)
    }
}

/// What a polygon's list holds: coordinates, or points where other tools wrote it.
enum Coordinates {
    One(f64),
    Point([f64; 2]),
}

impl<'de> Deserialize<'de> for Coordinates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CoordinatesVisitor)
    }
}

struct CoordinatesVisitor;

impl<'de> Visitor<'de> for CoordinatesVisitor {
    type Value = Coordinates;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("in a polygon: a coordinate or a point [x, y]")
    }

    fn visit_f64<E>(self, number: f64) -> Result<Coordinates, E> {
        Ok(Coordinates::One(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Coordinates, E> {
        Ok(Coordinates::One(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Coordinates, E> {
        Ok(Coordinates::One(number as f64))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, point: A) -> Result<Coordinates, A::Error> {
        Deserialize::deserialize(SeqAccessDeserializer::new(point)).map(Coordinates::Point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Segmentation {
        serde_json::from_str(json).unwrap()
    }

    /// A 2 x 2 square in the corner of a 3 x 4 image in every form; `02106` is pycocotools' string
    /// for its runs.
    #[test]
    fn every_form_gives_the_same_mask() {
        let expected = [1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0];
        for json in [
            "[0, 0, 2.0, 0, 2, 2, 0, 2]",
            "[[0, 0, 2.0, 0, 2, 2, 0, 2]]",
            r#"{"size": [3, 4], "counts": [0, 2, 1, 2, 7]}"#,
            r#"{"size": [3, 4], "counts": "02106"}"#,
            r#"[{"size": [3, 4], "counts": "02106"}]"#,
            r#"[{"size": [3, 4], "counts": [0, 2, 10]}, {"counts": [3, 2, 7], "size": [3, 4]}]"#,
        ] {
            let segmentation = read(json);
            segmentation.check().unwrap();
            assert_eq!(segmentation.to_bitmap(3, 4).unwrap().to_bytes(1), expected, "{json}");
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
        assert_eq!(short.check(), Err(expected.clone()));
        assert_eq!(short.to_bitmap(3, 4), Err(expected));
        let huge = read(r#"{"size": [4000000000, 4000000000], "counts": [1]}"#);
        let found = huge.to_bitmap(4_000_000_000, 4_000_000_000);
        assert!(matches!(found, Err(MaskError::ImageSize { .. })));
        let odd = read("[[1, 2, 3]]");
        assert_eq!(odd.check(), Err(MaskError::OddCoordinates { part: 0, found: 3 }));
        assert_eq!(
            odd.to_bitmap(3, 4).unwrap_err().to_string(),
            "polygon 0: expected an even number of coordinates (x0, y0, x1, y1, ...), found 3; \
             correct the annotation"
        );
    }

    #[test]
    fn a_wrong_form_is_named() {
        for (json, message) in [
            (r#"[1, 2, "3"]"#, "string \"3\", expected in a segmentation's list: a polygon"),
            (r#"[[1, 2], {"size": [3, 4], "counts": [12]}]"#, "several of them in one list"),
            ("[1, 2, [3, 4]]", "several of them in one list"),
            (r#"{"size": [3, 4], "counts": [-1, 13]}"#, "`counts` as a list of run lengths"),
            (r#"{"size": [3, 4]}"#, "missing field `counts`"),
            ("null", "null, expected a segmentation: a list of polygons"),
        ] {
            let error = serde_json::from_str::<Segmentation>(json).unwrap_err().to_string();
            assert!(error.contains(message), "{json}: {error}");
        }
    }
}
