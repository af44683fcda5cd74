//! What can be wrong with a mask that comes from a file or from a model.

use thiserror::Error;

/// The largest image a mask may have, in pixels: as many as an image that is read
/// ([`image::MAX_PIXELS`](crate::image::MAX_PIXELS)).
pub const MAX_PIXELS: usize = 250_000_000;

/// The largest magnitude of a polygon's coordinate, in pixels.
pub const MAX_COORDINATE: f64 = 1e6;

/// A mask, a run-length encoding or a polygon that cannot be used.
///
/// The error knows no file: whoever reads the file adds its name and the annotation's.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its fields hold")]
pub enum MaskError {
    /// An image without pixels, or with more of them than [`MAX_PIXELS`].
    #[error(
        "expected an image of 1 to {} pixels, found {height} x {width} (height x width); \
         check the size given for the image",
        MAX_PIXELS
    )]
    ImageSize { height: usize, width: usize },
    /// A buffer whose length is not height x width.
    #[error(
        "expected {expected} values for {height} x {width} (height x width), found {found}; \
         pass one value per pixel, row by row"
    )]
    PixelCount { height: usize, width: usize, expected: usize, found: usize },
    /// Two masks, or a mask and its image, of different sizes `[height, width]`.
    #[error(
        "expected a mask of {} x {} (height x width), found {} x {}; \
         check that the annotation belongs to this image",
        expected[0], expected[1], found[0], found[1]
    )]
    SizeMismatch { expected: [usize; 2], found: [usize; 2] },
    /// A polygon whose list of numbers does not pair up into points.
    #[error(
        "polygon {part}: expected an even number of coordinates (x0, y0, x1, y1, ...), \
         found {found}; correct the annotation"
    )]
    OddCoordinates { part: usize, found: usize },
    /// A coordinate that is NaN, infinite, or far outside any image; both indices count from 0.
    #[error(
        "polygon {part}: expected coordinate {index} within +-{}, found {value}; \
         correct the annotation (coordinates are pixels)",
        MAX_COORDINATE
    )]
    Coordinate { part: usize, index: usize, value: f64 },
    /// Runs that do not cover the image exactly.
    #[error(
        "expected run lengths that sum to {expected} ({height} x {width}, height x width), \
         found a sum of {found}; check `counts` against `size`"
    )]
    RunTotal { height: usize, width: usize, expected: u64, found: u64 },
    /// A string that is not COCO's compressed run-length encoding, from this byte (from 0) on.
    #[error(
        "RLE string, byte {position}: expected {expected}, found {found}; \
         check that `counts` was copied whole"
    )]
    RleString { position: usize, expected: &'static str, found: String },
}
