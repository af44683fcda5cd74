//! A mask as one bool per pixel.

use super::error::{MAX_PIXELS, MaskError};

/// How far two masks cover each other, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overlap {
    /// Pixels in both masks.
    pub intersection: u64,
    /// Pixels in at least one of the masks.
    pub union: u64,
}

impl Overlap {
    /// Intersection over union; two empty masks have 0 (MLLMSeg's and pycocotools' convention).
    pub fn iou(self) -> f64 {
        if self.union == 0 { 0.0 } else { self.intersection as f64 / self.union as f64 }
    }
}

/// A mask with one bool per pixel, stored row by row.
///
/// Its size never exceeds [`MAX_PIXELS`] and is never zero.
///
/// ```
/// use mllmseg_data::mask::Bitmap;
///
/// # fn main() -> Result<(), mllmseg_data::mask::MaskError> {
/// let left = Bitmap::from_bytes(2, 3, &[1, 1, 0, 1, 1, 0])?;
/// let upper = Bitmap::from_bytes(2, 3, &[1, 1, 1, 0, 0, 0])?;
/// assert_eq!((left.area(), left.bounding_box()), (4, Some([0, 0, 2, 2])));
/// assert_eq!(left.overlap(&upper)?.iou(), 2.0 / 5.0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bitmap {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) pixels: Vec<bool>,
}

impl Bitmap {
    /// An empty mask: every pixel is background.
    ///
    /// # Errors
    /// [`MaskError::ImageSize`] for no pixels or more than [`MAX_PIXELS`].
    pub fn new(height: usize, width: usize) -> Result<Self, MaskError> {
        let count = checked_pixel_count(height, width)?;
        Ok(Self { height, width, pixels: vec![false; count] })
    }

    /// A mask from its pixels, row by row.
    ///
    /// # Errors
    /// [`MaskError::ImageSize`], or [`MaskError::PixelCount`] unless there are height x width
    /// pixels.
    pub fn from_pixels(height: usize, width: usize, pixels: Vec<bool>) -> Result<Self, MaskError> {
        check_buffer(height, width, pixels.len())?;
        Ok(Self { height, width, pixels })
    }

    /// A mask from bytes, row by row; every byte but 0 is foreground.
    ///
    /// # Errors
    /// As [`Bitmap::from_pixels`].
    pub fn from_bytes(height: usize, width: usize, bytes: &[u8]) -> Result<Self, MaskError> {
        check_buffer(height, width, bytes.len())?;
        Ok(Self { height, width, pixels: bytes.iter().map(|&byte| byte != 0).collect() })
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// `[height, width]`.
    pub fn size(&self) -> [usize; 2] {
        [self.height, self.width]
    }

    /// All pixels, row by row.
    pub fn pixels(&self) -> &[bool] {
        &self.pixels
    }

    /// All pixels, row by row, as bytes 0 and `foreground` (1 for arithmetic, 255 for an image).
    pub fn to_bytes(&self, foreground: u8) -> Vec<u8> {
        self.pixels.iter().map(|&pixel| if pixel { foreground } else { 0 }).collect()
    }

    /// The rows from top to bottom, each `width` pixels.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[bool]> {
        self.pixels.chunks_exact(self.width)
    }

    /// The pixel at (row, column), or `None` outside the image.
    pub fn get(&self, row: usize, column: usize) -> Option<bool> {
        if column >= self.width {
            return None;
        }
        self.pixels.get(row.checked_mul(self.width)?.checked_add(column)?).copied()
    }

    /// Foreground pixels.
    pub fn area(&self) -> u64 {
        count(self.pixels.iter().copied())
    }

    /// Whether no pixel is foreground.
    pub fn is_empty(&self) -> bool {
        !self.pixels.contains(&true)
    }

    /// The tight box `[xmin, ymin, xmax + 1, ymax + 1]` in pixels, or `None` for an empty mask.
    ///
    /// The far corner is exclusive, so width and height are plain differences (MLLMSeg's REC).
    pub fn bounding_box(&self) -> Option<[u32; 4]> {
        let (mut left, mut right) = (self.width, 0);
        let (mut top, mut bottom) = (None, 0);
        for (y, row) in self.rows().enumerate() {
            let Some(first) = row.iter().position(|&pixel| pixel) else { continue };
            let last = row.iter().rposition(|&pixel| pixel).unwrap_or(first);
            left = left.min(first);
            right = right.max(last + 1);
            top = top.or(Some(y));
            bottom = y + 1;
        }
        // No side exceeds MAX_PIXELS, so none of these loses a bit.
        top.map(|top| [left as u32, top as u32, right as u32, bottom as u32])
    }

    /// The pixels in either mask.
    ///
    /// # Errors
    /// [`MaskError::SizeMismatch`] unless both masks have the same size.
    pub fn union(&self, other: &Self) -> Result<Self, MaskError> {
        check_same_size(self.size(), other.size())?;
        let pixels = self.pixels.iter().zip(&other.pixels).map(|(&a, &b)| a | b).collect();
        Ok(Self { height: self.height, width: self.width, pixels })
    }

    /// Intersection and union of two masks, in pixels.
    ///
    /// # Errors
    /// [`MaskError::SizeMismatch`] unless both masks have the same size.
    pub fn overlap(&self, other: &Self) -> Result<Overlap, MaskError> {
        check_same_size(self.size(), other.size())?;
        let pairs = || self.pixels.iter().zip(&other.pixels);
        Ok(Overlap {
            intersection: count(pairs().map(|(&a, &b)| a & b)),
            union: count(pairs().map(|(&a, &b)| a | b)),
        })
    }
}

fn count(pixels: impl Iterator<Item = bool>) -> u64 {
    pixels.map(u64::from).sum()
}

/// height x width, when that is a size a mask may have.
pub(super) fn checked_pixel_count(height: usize, width: usize) -> Result<usize, MaskError> {
    height
        .checked_mul(width)
        .filter(|count| (1..=MAX_PIXELS).contains(count))
        .ok_or(MaskError::ImageSize { height, width })
}

pub(super) fn check_buffer(height: usize, width: usize, found: usize) -> Result<(), MaskError> {
    let expected = checked_pixel_count(height, width)?;
    if expected != found {
        return Err(MaskError::PixelCount { height, width, expected, found });
    }
    Ok(())
}

pub(super) fn check_same_size(expected: [usize; 2], found: [usize; 2]) -> Result<(), MaskError> {
    if expected != found {
        return Err(MaskError::SizeMismatch { expected, found });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_tight_and_their_far_corner_is_exclusive() {
        #[rustfmt::skip]
        let mask = Bitmap::from_bytes(3, 4, &[
            0, 0, 0, 0,
            0, 0, 1, 0,
            0, 1, 0, 0,
        ]).unwrap();
        assert_eq!(mask.bounding_box(), Some([1, 1, 3, 3]));
        assert_eq!(mask.area(), 2);
        assert_eq!(Bitmap::new(3, 4).unwrap().bounding_box(), None);
    }

    #[test]
    fn overlap_counts_pixels() {
        let a = Bitmap::from_bytes(1, 4, &[1, 1, 1, 0]).unwrap();
        let b = Bitmap::from_bytes(1, 4, &[0, 1, 1, 1]).unwrap();
        let overlap = a.overlap(&b).unwrap();
        assert_eq!(overlap, Overlap { intersection: 2, union: 4 });
        assert_eq!(overlap.iou(), 0.5);
        assert_eq!(a.union(&b).unwrap().to_bytes(255), [255; 4]);
        assert_eq!(Overlap::default().iou(), 0.0);
    }

    #[test]
    fn sizes_are_checked() {
        assert!(matches!(Bitmap::new(0, 3), Err(MaskError::ImageSize { .. })));
        assert!(matches!(Bitmap::new(25_001, 10_000), Err(MaskError::ImageSize { .. })));
        assert!(matches!(Bitmap::new(usize::MAX, 2), Err(MaskError::ImageSize { .. })));
        assert!(matches!(
            Bitmap::from_pixels(2, 2, vec![true; 3]),
            Err(MaskError::PixelCount { expected: 4, found: 3, .. })
        ));
        let (tall, wide) = (Bitmap::new(3, 2).unwrap(), Bitmap::new(2, 3).unwrap());
        let expected = MaskError::SizeMismatch { expected: [3, 2], found: [2, 3] };
        assert_eq!(tall.overlap(&wide), Err(expected.clone()));
        assert_eq!(tall.union(&wide), Err(expected));
        assert_eq!(tall.get(2, 1), Some(false));
        assert_eq!(tall.get(0, 2), None);
        assert_eq!(tall.get(3, 0), None);
        assert_eq!(tall.get(usize::MAX, 0), None);
    }
}
