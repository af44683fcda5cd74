//! COCO's run-length encoding: runs of background and foreground in turn, column by column.
//!
//! The first run is background and may be 0 long. `coco_string` has the compressed form.

use serde::{Deserialize, Deserializer, Serialize};

use super::bitmap::{Bitmap, checked_pixel_count};
use super::error::MaskError;
use crate::leniency::{Leniency, note, whole_number};

/// A mask as alternating runs of background and foreground in column-major order.
///
/// The runs always sum to height x width. As JSON it is `{"size": [height, width], "counts":
/// "..."}`; a list of run lengths is accepted for `counts` too.
///
/// ```
/// use mllmseg_data::mask::{Bitmap, Rle};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mask = Bitmap::from_bytes(2, 3, &[0, 1, 1, 0, 0, 1])?;
/// let rle = Rle::from_bitmap(&mask);
/// assert_eq!(rle.counts(), [2, 1, 1, 2]); // column by column, background first
/// let json = serde_json::to_string(&rle)?; // as pycocotools reads it
/// assert_eq!(serde_json::from_str::<Rle>(&json)?.to_bitmap(), mask);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "EncodedRle", into = "EncodedRle")]
pub struct Rle {
    size: [u32; 2],
    pub(super) counts: Vec<u32>,
}

impl Rle {
    /// An encoding of `[height, width]` pixels from its runs.
    ///
    /// # Errors
    /// [`MaskError::ImageSize`], or [`MaskError::RunTotal`] unless the runs sum to height x width.
    pub fn new(size: [u32; 2], counts: Vec<u32>) -> Result<Self, MaskError> {
        let [height, width] = size.map(|side| side as usize);
        let expected = checked_pixel_count(height, width)? as u64;
        let found = counts.iter().fold(0u64, |sum, &run| sum.saturating_add(u64::from(run)));
        if expected != found {
            return Err(MaskError::RunTotal { height, width, expected, found });
        }
        Ok(Self { size, counts })
    }

    /// The encoding of a bitmap; no run but the first is ever 0 long.
    pub fn from_bitmap(bitmap: &Bitmap) -> Self {
        let (mut counts, mut value, mut length) = (Vec::new(), false, 0);
        for x in 0..bitmap.width() {
            for &pixel in bitmap.pixels().iter().skip(x).step_by(bitmap.width()) {
                if pixel != value {
                    counts.push(std::mem::take(&mut length));
                    value = pixel;
                }
                length += 1;
            }
        }
        counts.push(length);
        // A bitmap's sides never exceed MAX_PIXELS.
        Self { size: bitmap.size().map(|side| side as u32), counts }
    }

    /// The pixels.
    pub fn to_bitmap(&self) -> Bitmap {
        let [height, width] = self.image_size();
        let mut bitmap = Bitmap { height, width, pixels: vec![false; height * width] };
        self.paint(&mut bitmap);
        bitmap
    }

    /// Sets the foreground pixels in a bitmap of the same size, and leaves the others alone.
    pub(super) fn paint(&self, bitmap: &mut Bitmap) {
        let [height, width] = self.image_size();
        debug_assert_eq!(bitmap.size(), [height, width]);
        let mut place = 0;
        for (index, &run) in self.counts.iter().enumerate() {
            let end = place + run as usize; // the sum is at most MAX_PIXELS
            if index % 2 == 0 {
                place = end; // background
            }
            while place < end {
                let (column, top) = (place / height, place % height);
                let length = (end - place).min(height - top);
                let column = bitmap.pixels.iter_mut().skip(top * width + column).step_by(width);
                column.take(length).for_each(|pixel| *pixel = true);
                place += length;
            }
        }
    }

    /// `[height, width]`.
    pub fn size(&self) -> [u32; 2] {
        self.size
    }

    /// The runs, background first.
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// Foreground pixels.
    pub fn area(&self) -> u64 {
        self.counts.iter().skip(1).step_by(2).map(|&run| u64::from(run)).sum()
    }

    /// COCO's box `[x, y, width, height]` in pixels; all 0 for an empty mask.
    pub fn coco_box(&self) -> [u32; 4] {
        let corners = self.to_bitmap().bounding_box();
        corners.map_or([0; 4], |[left, top, right, bottom]| [left, top, right - left, bottom - top])
    }

    fn image_size(&self) -> [usize; 2] {
        self.size.map(|side| side as usize)
    }
}

/// A run-length encoding as a file has it, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncodedRle {
    /// `[height, width]` in pixels.
    #[serde(deserialize_with = "sides")]
    pub size: [u32; 2],
    /// The runs.
    pub counts: RleCounts,
}

/// The two ways to write runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "`counts` as a list of run lengths or as a compressed RLE string expected"
)]
pub enum RleCounts {
    /// The lengths themselves, background first (COCO's crowd regions).
    Runs(#[serde(deserialize_with = "runs")] Box<[u32]>),
    /// COCO's compressed string.
    Compressed(#[serde(deserialize_with = "compressed")] Box<str>),
}

/// A number as [`whole_number`] reads it.
#[derive(Deserialize)]
#[serde(transparent)]
struct Whole(#[serde(deserialize_with = "whole_number")] u32);

fn sides<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u32; 2], D::Error> {
    <[Whole; 2]>::deserialize(deserializer).map(|sides| sides.map(|Whole(side)| side))
}

fn runs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<[u32]>, D::Error> {
    let runs = Vec::<Whole>::deserialize(deserializer)?;
    Ok(runs.into_iter().map(|Whole(run)| run).collect())
}

/// The string itself, or what Python's `str` makes of it where it is bytes: COCO's alphabet has no quote.
fn compressed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<str>, D::Error> {
    let text = Box::<str>::deserialize(deserializer)?;
    let quoted = |quote| text.strip_prefix('b')?.strip_prefix(quote)?.strip_suffix(quote);
    let Some(bytes) = quoted('\'').or_else(|| quoted('"')) else { return Ok(text) };
    note(Leniency::BytesAsText);
    Ok(bytes.replace("\\\\", "\\").into())
}

impl EncodedRle {
    /// The encoding, checked.
    ///
    /// # Errors
    /// As [`Rle::new`] and [`Rle::from_coco_string`].
    pub fn decode(&self) -> Result<Rle, MaskError> {
        match &self.counts {
            RleCounts::Runs(counts) => Rle::new(self.size, counts.to_vec()),
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
        Self { size: rle.size, counts: RleCounts::Compressed(rle.to_coco_string().into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uncompressed encodings may hold empty runs; they are no part of any mask.
    #[test]
    fn empty_runs_change_nothing() {
        let padded = Rle::new([2, 3], vec![2, 0, 1, 2, 0, 0, 1]).unwrap();
        assert_eq!(padded.to_bitmap().to_bytes(1), [0, 0, 1, 0, 1, 0]);
        assert_eq!(padded.area(), 2);
        assert_eq!(padded.coco_box(), [1, 0, 2, 2]);
        let plain = Rle::from_bitmap(&padded.to_bitmap());
        assert_eq!(plain.counts(), [3, 2, 1]);
    }

    /// `Xo0h0` is what pycocotools 2.0.11 writes for these runs.
    #[test]
    fn json_is_cocos() {
        let rle = Rle::new([32, 32], vec![1000, 24]).unwrap();
        let json = r#"{"size":[32,32],"counts":"Xo0h0"}"#;
        assert_eq!(serde_json::to_string(&rle).unwrap(), json);
        assert_eq!(serde_json::from_str::<Rle>(json).unwrap(), rle);
        let plain = r#"{"counts": [1000, 24], "size": [32, 32]}"#;
        assert_eq!(serde_json::from_str::<Rle>(plain).unwrap(), rle);
        assert!(serde_json::from_str::<Rle>(r#"{"size":[32,33],"counts":"Xo0h0"}"#).is_err());
    }
}
