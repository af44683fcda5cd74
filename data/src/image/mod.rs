//! Pictures: from a file to upright RGB pixels, and from those to what the vision encoder reads.
//!
//! [`read_image`] decodes, [`preprocess`] resizes and normalises, [`jpeg_recompress`] is the training augmentation.

mod decode;
mod error;
mod jpeg;
mod preprocess;
mod resample;

pub use decode::{
    MAX_FILE_BYTES, MAX_PIXELS, MAX_SIDE, Orientation, decode_image, decode_image_with, read_image,
    read_image_with,
};
pub use error::ImageError;
pub use jpeg::jpeg_recompress;
pub use preprocess::{IMAGENET_MEAN, IMAGENET_STD, preprocess};
pub use resample::resize_rgb;
