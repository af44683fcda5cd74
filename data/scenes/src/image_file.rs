//! The files of images.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;

use mllmseg_data::files::FileError;
use strum::EnumString;

use crate::ScenesError;

const JPEG_QUALITY: u8 = 92;

/// How images are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, EnumString)]
#[strum(serialize_all = "lowercase", parse_err_ty = ScenesError, parse_err_fn = unknown)]
pub enum ImageFormat {
    /// Lossless.
    Png,
    /// A quarter of the size, with the artefacts that photographs have.
    #[default]
    #[strum(serialize = "jpeg", serialize = "jpg")]
    Jpeg,
}

fn unknown(name: &str) -> ScenesError {
    let (name, known) = (name.to_owned(), "png, jpeg".to_owned());
    ScenesError::UnknownName { what: "image format", name, known }
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
