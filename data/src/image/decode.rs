//! From the bytes of an image file to RGB pixels.

use std::fs::File;
use std::io::{self, BufRead, Cursor, Read, Seek};
use std::path::Path;

use image::metadata::Orientation as Turn;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, ImageResult, Limits, RgbImage};

use super::error::{self, ImageError, MAX_DECODED_BYTES, MAX_FILE_BYTES, MAX_PIXELS};
use super::formats::recognise;
use super::{exif, jpeg};

/// Memory that a decoder may take to read a header, in bytes: for a row, or a colour profile, which unpacks to
/// a thousand times its size in the file.
const HEADER_BYTES: u64 = 256 << 20;
/// Memory that a decoder may then take for any image, in bytes.
const DECODER_BYTES: u64 = 64 << 20;
/// What it may take beyond that, for each byte of the image.
const DECODER_BYTES_PER_BYTE: u64 = 4;
/// The most it may take.
const MAX_DECODER_BYTES: u64 = 1 << 30;

/// Which way up a decoded image is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orientation {
    /// Turned and mirrored by the EXIF data: what people see in any viewer, and expect of a mask.
    ///
    /// MLLMSeg's published evaluation ignores EXIF; images without an EXIF orientation are the same either way.
    #[default]
    Upright,
    /// As the pixels are stored. COCO's annotations, and so those of the RefCOCO family, are in this orientation.
    Stored,
}

/// Reads the image at `path` as upright RGB; see [`decode_image`].
///
/// # Errors
/// As [`decode_image`], and [`ImageError::Unreadable`] if the file cannot be opened or read.
pub fn read_image(path: impl AsRef<Path>) -> Result<RgbImage, ImageError> {
    read_image_with(path, Orientation::Upright)
}

/// Reads the image at `path` as RGB, in the given orientation; see [`decode_image`].
///
/// # Errors
/// As [`read_image`].
pub fn read_image_with(
    path: impl AsRef<Path>,
    orientation: Orientation,
) -> Result<RgbImage, ImageError> {
    let path = path.as_ref();
    let name = path.display().to_string();
    let bytes = File::open(path).and_then(read_bounded).map_err(error::unreadable(&name))?;
    decode_image(&bytes, &name, orientation)
}

/// The bytes of a file, or one byte more than [`MAX_FILE_BYTES`] of a longer one.
pub(super) fn read_bounded(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Decodes a JPEG, PNG, WebP, BMP, GIF or TIFF file held in memory to RGB, in the given orientation;
/// `name` is for error messages.
///
/// The result is that of Pillow's `ImageOps.exif_transpose(image).convert("RGB")` (JPEG and lossy WebP: to a few
/// grey levels, decoders differ): grey is repeated, palettes are looked up, alpha is dropped and not blended, so what a
/// transparent pixel hides shows. Of 16-bit values the upper byte is kept; Pillow does so for colour, but clips 16-bit
/// grey at 255, which turns nearly any such image white and is not repeated here. Of an animation, and of
/// a TIFF with several pages, the first is taken. Colour profiles are ignored.
///
/// # Errors
/// Any [`ImageError`] but `Unreadable` and `Recompress`: too large a file ([`MAX_FILE_BYTES`]) or image
/// ([`MAX_PIXELS`], [`MAX_DECODED_BYTES`]), another format, no pixels, or a damaged or incomplete file.
pub fn decode_image(
    bytes: &[u8],
    name: &str,
    orientation: Orientation,
) -> Result<RgbImage, ImageError> {
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ImageError::FileTooLarge { name: name.into() });
    }
    let (format, format_name) = check_complete(bytes, name)?;
    let failed = |error| error::undecoded(name, format_name, error);
    let decoder = decoder(Cursor::new(bytes), format).map_err(failed)?;
    check_size(&decoder, name)?;
    let decoded = DynamicImage::from_decoder(decoder).map_err(failed)?;
    let mut rgb = DynamicImage::ImageRgb8(into_rgb(decoded));
    rgb.apply_orientation(turn(&mut Cursor::new(bytes), format, orientation));
    Ok(rgb.into_rgb8())
}

/// A decoder that has read the header, and takes no more memory for itself than such an image needs: a frame of
/// a GIF of a hundred bytes may claim a gigabyte, of which the canvas shows a few pixels.
pub(super) fn decoder<'r>(
    reader: impl BufRead + Seek + 'r,
    format: ImageFormat,
) -> ImageResult<impl ImageDecoder + 'r> {
    let mut reader = ImageReader::with_format(reader, format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(HEADER_BYTES);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    let own =
        decoder.total_bytes().saturating_mul(DECODER_BYTES_PER_BYTE).saturating_add(DECODER_BYTES);
    limits.max_alloc = Some(own.min(MAX_DECODER_BYTES));
    decoder.set_limits(limits)?;
    Ok(decoder)
}

/// The format of a file and its name, if the file ends where its format has an end.
pub(super) fn check_complete(
    bytes: &[u8],
    name: &str,
) -> Result<(ImageFormat, &'static str), ImageError> {
    let (format, format_name) = recognise(bytes).map_err(error::unknown(name))?;
    let complete = match format {
        ImageFormat::Jpeg => jpeg::is_complete(bytes),
        ImageFormat::WebP => webp_is_complete(bytes),
        // What follows the end chunk, if anything, is no part of the image.
        ImageFormat::Png => memchr::memmem::rfind(bytes, b"IEND").is_some(),
        // The decoders notice by themselves.
        _ => true,
    };
    let reason = || "the file ends before the image does".into();
    complete
        .then_some((format, format_name))
        .ok_or_else(|| error::damaged(name, format_name, reason()))
}

/// Whether the file is as long as its RIFF header says, but for a last byte that only pads to an even length.
///
/// The decoder takes the bits that a lossy file lacks for zeros.
fn webp_is_complete(bytes: &[u8]) -> bool {
    const HEADER: u64 = 8;
    let [_, _, _, _, a, b, c, d, ..] = bytes else { return false };
    bytes.len() as u64 + 1 >= u64::from(u32::from_le_bytes([*a, *b, *c, *d])) + HEADER
}

/// Width and height, if an image may have them.
pub(super) fn check_size(
    decoder: &impl ImageDecoder,
    name: &str,
) -> Result<(u32, u32), ImageError> {
    let (name, (width, height)) = (name.into(), decoder.dimensions());
    let bytes = decoder.total_bytes();
    if width == 0 || height == 0 {
        Err(ImageError::NoPixels { name, width, height })
    } else if u64::from(width) * u64::from(height) > MAX_PIXELS || bytes > MAX_DECODED_BYTES {
        Err(ImageError::TooManyPixels { name, width, height, mebibytes: bytes.div_ceil(1 << 20) })
    } else {
        Ok((width, height))
    }
}

/// The turn of the stored pixels to an orientation.
pub(super) fn turn(
    file: &mut (impl Read + Seek),
    format: ImageFormat,
    orientation: Orientation,
) -> Turn {
    match orientation {
        Orientation::Upright => exif::turn(file, format),
        Orientation::Stored => Turn::NoTransforms,
    }
}

fn into_rgb(image: DynamicImage) -> RgbImage {
    let (width, height) = (image.width(), image.height());
    let upper_bytes = match &image {
        DynamicImage::ImageLuma16(grey) => upper_bytes::<1>(grey),
        DynamicImage::ImageLumaA16(grey) => upper_bytes::<2>(grey),
        DynamicImage::ImageRgb16(colour) => upper_bytes::<3>(colour),
        DynamicImage::ImageRgba16(colour) => upper_bytes::<4>(colour),
        _ => return image.into_rgb8(),
    };
    // The length is three bytes for each pixel of `image` by construction.
    RgbImage::from_raw(width, height, upper_bytes).unwrap_or_else(|| image.into_rgb8())
}

/// RGB bytes of 16-bit pixels with `CHANNELS` values each: grey, grey and alpha, RGB, or RGB and alpha.
fn upper_bytes<const CHANNELS: usize>(values: &[u16]) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(values.len() / CHANNELS * 3);
    for pixel in values.as_chunks::<CHANNELS>().0 {
        let colour = if CHANNELS < 3 { [pixel[0]; 3] } else { [pixel[0], pixel[1], pixel[2]] };
        rgb.extend(colour.map(|value| (value >> 8) as u8));
    }
    rgb
}
