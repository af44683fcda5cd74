//! Masks that are kept as images.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageFormat};

use super::error::{self, ImageError, MAX_FILE_BYTES, MAX_PIXELS};
use super::{decode, formats, header};
use crate::mask::Bitmap;

/// Reads the mask of a `width` x `height` image from a PNG.
///
/// A pixel belongs to the mask if it is **not black and not fully transparent**. So of a grey PNG (1 to 16 bits)
/// every value but 0 is foreground, of a colour PNG every colour but pure black; of a palette the *colour* of an
/// entry counts and not its number, so that it does not matter how a program sorts the palette; and pixels with
/// alpha 0 are background whatever their colour. EXIF and colour profiles are ignored; of an animation the first
/// frame is taken.
///
/// Other formats are refused: JPEG, for one, leaves grey around every edge.
///
/// # Errors
/// [`ImageError::NotPng`], [`ImageError::MaskSize`] before any pixel is decoded, and as
/// [`read_image`](super::read_image).
pub fn read_mask(path: impl AsRef<Path>, width: u32, height: u32) -> Result<Bitmap, ImageError> {
    let (name, bytes) = read_png(path.as_ref())?;
    let failed = |error| error::undecoded(&name, "PNG", error);
    let decoder = decode::decoder(Cursor::new(&bytes), ImageFormat::Png).map_err(failed)?;
    let size = decoder.dimensions();
    if size != (width, height) {
        return Err(ImageError::MaskSize { name, expected: (width, height), found: size });
    }
    decode::check_size(&decoder, &name)?;
    let image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    Bitmap::from_pixels(height as usize, width as usize, foreground(&image))
        .map_err(|error| error::damaged(&name, "PNG", error.to_string()))
}

/// Reads one value of an index mask: of a grey PNG the pixels with this grey value, of a palette PNG those with this
/// number, whatever its colour. Values are as the file stores them, in 1 to 16 bits.
///
/// # Errors
/// As [`read_mask`]; [`ImageError::NoIndex`] for a PNG in colour.
pub fn read_index_mask(
    path: impl AsRef<Path>,
    expected: (u32, u32),
    value: u16,
) -> Result<Bitmap, ImageError> {
    let (name, bytes) = read_png(path.as_ref())?;
    let damaged = |reason: &dyn ToString| error::damaged(&name, "PNG", reason.to_string());
    let mut decoder = png::Decoder::new(Cursor::new(&bytes));
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(|error| damaged(&error))?;
    let (found, bits) = (reader.info().size(), reader.info().bit_depth as usize);
    let (width, height) = (found.0 as usize, found.1 as usize);
    if found != expected {
        return Err(ImageError::MaskSize { name, expected, found });
    }
    if !matches!(reader.info().color_type, png::ColorType::Grayscale | png::ColorType::Indexed) {
        return Err(ImageError::NoIndex { name });
    }
    let length = reader.output_buffer_size().filter(|_| width * height <= MAX_PIXELS as usize);
    let mut rows = vec![0; length.ok_or_else(|| damaged(&"too many pixels"))?];
    reader.next_frame(&mut rows).map_err(|error| damaged(&error))?;
    let row_bytes = (width * bits).div_ceil(8);
    let values =
        rows.chunks_exact(row_bytes).flat_map(|row| (0..width).map(move |x| sample(row, bits, x)));
    Bitmap::from_pixels(height, width, values.map(|found| found == value).collect())
        .map_err(|error| damaged(&error))
}

/// The value of pixel `x`, of which several may share a byte, the first in its highest bits.
fn sample(row: &[u8], bits: usize, x: usize) -> u16 {
    match bits {
        16 => u16::from_be_bytes([row[2 * x], row[2 * x + 1]]),
        _ => {
            let in_byte = x * bits % 8;
            u16::from(row[x * bits / 8] << in_byte >> (8 - bits))
        }
    }
}

/// The name and the bytes of a PNG.
fn read_png(path: &Path) -> Result<(String, Vec<u8>), ImageError> {
    let name = path.display().to_string();
    let file = header::open_regular(path, &name)?;
    let bytes = decode::read_bounded(file).map_err(error::unreadable(&name))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ImageError::FileTooLarge { name });
    }
    let found = formats::recognise(&bytes).map_or_else(|found| found, |(_, name)| name.into());
    if found == "PNG" { Ok((name, bytes)) } else { Err(ImageError::NotPng { name, found }) }
}

/// Which pixels are neither black nor fully transparent, row by row.
fn foreground(image: &DynamicImage) -> Vec<bool> {
    let colour = image.color();
    let pixel_bytes = usize::from(colour.bytes_per_pixel()).max(1);
    let alpha_bytes = match colour.has_alpha() {
        true => pixel_bytes / usize::from(colour.channel_count()).max(1),
        false => 0,
    };
    let shows = |pixel: &[u8]| {
        let (colour, alpha) = pixel.split_at(pixel.len() - alpha_bytes);
        let set = |byte: &u8| *byte != 0;
        colour.iter().any(set) && (alpha.is_empty() || alpha.iter().any(set))
    };
    image.as_bytes().chunks_exact(pixel_bytes).map(shows).collect()
}
