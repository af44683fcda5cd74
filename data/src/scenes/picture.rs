//! The files of pictures.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::str::FromStr;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use super::ScenesError;

/// The quality of JPEG pictures.
const JPEG_QUALITY: u8 = 92;

/// How pictures are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PictureFormat {
    /// Without loss.
    Png,
    /// A quarter of the size, with the loss that photographs have.
    #[default]
    Jpeg,
}

impl FromStr for PictureFormat {
    type Err = ScenesError;

    fn from_str(name: &str) -> Result<Self, ScenesError> {
        match name {
            "png" => Ok(Self::Png),
            "jpeg" | "jpg" => Ok(Self::Jpeg),
            _ => Err(ScenesError::UnknownFormat { name: name.escape_debug().to_string() }),
        }
    }
}

/// Writes a picture into a file that is not there yet.
pub(super) fn write_picture(
    picture: &RgbImage,
    path: &Path,
    format: PictureFormat,
) -> Result<(), ScenesError> {
    let (width, height) = picture.dimensions();
    let mut bytes = Vec::new();
    let encoded = match format {
        PictureFormat::Png => {
            PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive)
                .write_image(picture, width, height, ExtendedColorType::Rgb8)
        }
        PictureFormat::Jpeg => {
            JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY).encode_image(picture)
        }
    };
    encoded.map_err(|error| ScenesError::Encode {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    let written = File::create_new(path).and_then(|mut file| file.write_all(&bytes));
    written.map_err(ScenesError::io(path))
}

/// The name of a picture's file: COCO's.
pub(super) fn file_name(id: u64, format: PictureFormat) -> String {
    let extension = match format {
        PictureFormat::Png => "png",
        PictureFormat::Jpeg => "jpg",
    };
    format!("COCO_train2014_{id:012}.{extension}")
}
