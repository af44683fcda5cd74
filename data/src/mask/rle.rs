//! COCO's run-length encoding: runs of background and foreground in turn, column by column.
//!
//! The first run is background and may be 0 long. `coco_string` has the compressed form.

use serde::{Deserialize, Serialize};

use super::segmentation::EncodedRle;
use super::{Bitmap, MaskError, Overlap, check_same_size, checked_pixel_count};

/// A mask as alternating runs of background and foreground in column-major order.
///
/// The runs always sum to height x width. As JSON it is `{"size": [height, width], "counts":
/// "..."}`; a list of run lengths is accepted for `counts` too.
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
        let mut runs = RunWriter::default();
        for x in 0..bitmap.width() {
            for &pixel in bitmap.pixels().iter().skip(x).step_by(bitmap.width()) {
                runs.push(pixel, 1);
            }
        }
        // A bitmap's sides never exceed MAX_PIXELS.
        Self { size: bitmap.size().map(|side| side as u32), counts: runs.finish() }
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
        for (start, end) in self.foreground() {
            let (mut place, end) = (start as usize, end as usize);
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
        let height = self.size[0];
        let mut corners: Option<[u32; 4]> = None;
        for (start, end) in self.foreground() {
            let (left, right) = (start / height, (end - 1) / height);
            // A run that goes on into the next column holds the bottom of one and the top of the
            // other.
            let (top, bottom) =
                if left == right { (start % height, (end - 1) % height) } else { (0, height - 1) };
            corners = Some(match corners {
                None => [left, top, right, bottom],
                Some([l, t, r, b]) => [l.min(left), t.min(top), r.max(right), b.max(bottom)],
            });
        }
        corners.map_or([0; 4], |[l, t, r, b]| [l, t, r - l + 1, b - t + 1])
    }

    /// The pixels in either mask.
    ///
    /// # Errors
    /// [`MaskError::SizeMismatch`] unless both have the same size.
    pub fn union(&self, other: &Self) -> Result<Self, MaskError> {
        self.combine(other, |a, b| a | b)
    }

    /// The pixels in both masks.
    ///
    /// # Errors
    /// [`MaskError::SizeMismatch`] unless both have the same size.
    pub fn intersection(&self, other: &Self) -> Result<Self, MaskError> {
        self.combine(other, |a, b| a & b)
    }

    /// Intersection and union of two masks, in pixels, without decoding them.
    ///
    /// # Errors
    /// [`MaskError::SizeMismatch`] unless both have the same size.
    pub fn overlap(&self, other: &Self) -> Result<Overlap, MaskError> {
        check_same_size(self.image_size(), other.image_size())?;
        let mut overlap = Overlap::default();
        self.walk_together(other, |a, b, length| {
            overlap.intersection += u64::from(length) * u64::from(a & b);
            overlap.union += u64::from(length) * u64::from(a | b);
        });
        Ok(overlap)
    }

    fn image_size(&self) -> [usize; 2] {
        self.size.map(|side| side as usize)
    }

    /// The foreground runs that are not empty, as half-open ranges of column-major places.
    fn foreground(&self) -> impl Iterator<Item = (u32, u32)> {
        let mut end = 0u32;
        self.counts.iter().enumerate().filter_map(move |(i, &run)| {
            let start = end;
            end += run; // The sum is at most MAX_PIXELS.
            (i % 2 == 1 && run > 0).then_some((start, end))
        })
    }

    /// The runs that are not empty, with their values.
    fn runs(&self) -> impl Iterator<Item = (bool, u32)> {
        let runs = self.counts.iter().enumerate().map(|(i, &run)| (i % 2 == 1, run));
        runs.filter(|&(_, run)| run > 0)
    }

    fn combine(&self, other: &Self, of: impl Fn(bool, bool) -> bool) -> Result<Self, MaskError> {
        check_same_size(self.image_size(), other.image_size())?;
        let mut runs = RunWriter::default();
        self.walk_together(other, |a, b, length| runs.push(of(a, b), length));
        Ok(Self { size: self.size, counts: runs.finish() })
    }

    /// Visits the stretches over which neither mask changes: both values, and the length.
    fn walk_together(&self, other: &Self, mut visit: impl FnMut(bool, bool, u32)) {
        let (mut of_a, mut of_b) = (self.runs(), other.runs());
        let (mut a, mut b) = (of_a.next(), of_b.next());
        while let (Some((value_a, left_a)), Some((value_b, left_b))) = (a, b) {
            let length = left_a.min(left_b);
            visit(value_a, value_b, length);
            a = if left_a > length { Some((value_a, left_a - length)) } else { of_a.next() };
            b = if left_b > length { Some((value_b, left_b - length)) } else { of_b.next() };
        }
    }
}

/// Joins pieces of equal value into runs.
#[derive(Default)]
struct RunWriter {
    counts: Vec<u32>,
    value: bool,
    length: u32,
}

impl RunWriter {
    fn push(&mut self, value: bool, length: u32) {
        if value != self.value {
            self.counts.push(self.length);
            self.value = value;
            self.length = 0;
        }
        self.length += length;
    }

    fn finish(mut self) -> Vec<u32> {
        self.counts.push(self.length);
        self.counts
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
        assert_eq!(padded.union(&padded).unwrap(), plain);
        assert_eq!(padded.overlap(&plain).unwrap(), Overlap { intersection: 2, union: 2 });
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
