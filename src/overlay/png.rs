//! PNG files.

use std::io;
use std::path::Path;

use image::DynamicImage;
use image::codecs::png::PngEncoder;
use mllmseg_data::files::{FileError, write_file};

/// Writes `image` as PNG to `path`, whole or not at all ([`mllmseg_data::files`]), replacing a file
/// that is there.
///
/// # Errors
/// If the image has no pixels or the file cannot be written.
pub fn write_png(path: impl AsRef<Path>, image: impl Into<DynamicImage>) -> Result<(), FileError> {
    write_file(path.as_ref(), |file| {
        image.into().write_with_encoder(PngEncoder::new(file)).map_err(io::Error::other)
    })
}
