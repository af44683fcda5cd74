//! Images: from a file to upright RGB pixels, and from those to what the vision encoder reads.
//!
//! [`read_image`] decodes, [`preprocess`] resizes and normalises, [`jpeg_recompress`] is the training augmentation.
//! [`read_mask`] reads a mask that was drawn by hand.

mod decode;
mod error;
mod exif;
mod formats;
mod header;
mod jpeg;
mod mask_file;
mod preprocess;
mod resample;

pub use decode::{Orientation, decode_image, read_image, read_image_with};
pub use error::{ImageError, MAX_DECODED_BYTES, MAX_FILE_BYTES, MAX_PIXELS};
pub use formats::ENDINGS;
pub use header::{check_image, read_size, size_in_memory};
pub use jpeg::jpeg_recompress;
pub use mask_file::{read_index_mask, read_mask};
pub use preprocess::{IMAGENET_MEAN, IMAGENET_STD, preprocess};
pub use resample::resize_rgb;
