//! The files of images.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;

use mllmseg_data::files::FileError;

use crate::ScenesError;

/// The quality of JPEG images.
const JPEG_QUALITY: u8 = 92;

/// How images are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ImageFormat {
    /// Lossless.
    Png,
    /// A quarter of the size, with the artefacts that photographs have.
    #[default]
    Jpeg,
}

impl FromStr for ImageFormat {
    type Err = ScenesError;

    fn from_str(name: &str) -> Result<Self, ScenesError> {
        match name {
            "png" => Ok(Self::Png),
            "jpeg" | "jpg" => Ok(Self::Jpeg),
            _ => Err(ScenesError::UnknownName {
                what: "image format",
                name: name.to_owned(),
                known: "png, jpeg".to_owned(),
            }),
        }
    }
}

impl ImageFormat {
    /// Writes an image into a file that does not exist yet.
    pub(crate) fn write(self, image: &RgbImage, path: &Path) -> Result<(), FileError> {
        let mut bytes = Vec::new();
        let encoded = match self {
            Self::Png => image.write_with_encoder(PngEncoder::new(&mut bytes)),
            Self::Jpeg => {
                image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY))
            }
        };
        let written = encoded
            .map_err(io::Error::other)
            .and_then(|()| File::create_new(path)?.write_all(&bytes));
        written.map_err(FileError::at(path))
    }

    /// The name of an image's file, as in COCO.
    pub(crate) fn file_name(self, id: u64) -> String {
        let extension = if self == Self::Png { "png" } else { "jpg" };
        format!("COCO_train2014_{id:012}.{extension}")
    }
}
