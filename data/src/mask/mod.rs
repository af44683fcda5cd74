//! Masks: bitmaps, COCO run-length encodings, polygons, and probabilities made into masks.
//!
//! Masks are `height x width`, and a pixel's place is `(row, column)`. Everything here is exact:
//! two programs that agree on the annotation agree on every pixel ([`polygon`] describes the test). Nothing a file can contain makes this module panic or take memory beyond what
//! [`MAX_PIXELS`] allows.

mod bitmap;
mod coco_string;
mod error;
pub mod outline;
pub mod polygon;
pub mod probability;
mod rle;
mod segmentation;

pub use bitmap::{Bitmap, Overlap};
pub use error::{MAX_COORDINATE, MAX_PIXELS, MaskError};
pub use rle::{EncodedRle, Rle, RleCounts};
pub use segmentation::Segmentation;
