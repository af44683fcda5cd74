//! What can be wrong with an image.

/// Largest file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 256 << 20;
/// Most pixels that are decoded: enough for the 200-megapixel cameras of phones, and for any panorama within it.
pub const MAX_PIXELS: u64 = 250_000_000;
/// Most bytes that an image may take once it is decoded, before the conversion to RGB. While an image is converted
/// and turned, up to three times as much is in use.
pub const MAX_DECODED_BYTES: u64 = 1 << 30;

/// Why an image could not be read or recompressed. Every message names the image and the next step.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its fields hold")]
pub enum ImageError {
    /// The file could not be opened or read.
    #[error("{name}: cannot be read ({source}); check the path and its permissions")]
    Unreadable { name: String, source: std::io::Error },
    /// The file is larger than [`MAX_FILE_BYTES`].
    #[error(
        "{name}: the file is larger than {} MiB; save it as a JPEG, or scale it down, and try again",
        MAX_FILE_BYTES >> 20
    )]
    FileTooLarge { name: String },
    /// The first bytes are not those of a format that is read here.
    #[error(
        "{name}: expected a JPEG, PNG, WebP, BMP, GIF or TIFF image, found {found}; convert it to one of these"
    )]
    UnknownFormat { name: String, found: String },
    /// A kind of a known format that is not read.
    #[error(
        "{name}: this kind of {format} is not read ({reason}); save it as an ordinary PNG or JPEG"
    )]
    Unsupported { name: String, format: &'static str, reason: String },
    /// More than [`MAX_PIXELS`] or [`MAX_DECODED_BYTES`] allow.
    #[error(
        "{name}: the image is {width} x {height} pixels, {mebibytes} MiB in memory, but at most {} million pixels \
         and {} MiB are read; scale it down (the model sees 448 x 448) and try again",
        MAX_PIXELS / 1_000_000, MAX_DECODED_BYTES >> 20
    )]
    TooManyPixels { name: String, width: u32, height: u32, mebibytes: u64 },
    /// A width or height of zero.
    #[error("{name}: the image is {width} x {height}, so it has no pixels; replace the file")]
    NoPixels { name: String, width: u32, height: u32 },
    /// The file breaks off or contradicts its format.
    #[error(
        "{name}: this {format} file is damaged or incomplete ({reason}); fetch or export it again"
    )]
    Damaged { name: String, format: &'static str, reason: String },
    /// A mask in another format than PNG.
    #[error("{name}: expected a mask as a PNG, found {found}; export the mask as a PNG")]
    NotPng { name: String, found: String },
    /// An index mask in colour, which has no values to pick from.
    #[error(
        "{name}: `mask_value` picks a value of a grey or palette PNG, but this one is in colour; leave the key out"
    )]
    NoIndex { name: String },
    /// A mask that is not as large as its image.
    #[error(
        "{name}: expected a mask of {}x{} like its image, found {}x{} (width x height); \
         export it at the image's size",
        expected.0, expected.1, found.0, found.1
    )]
    MaskSize { name: String, expected: (u32, u32), found: (u32, u32) },
    /// The image could not be written as a JPEG.
    #[error(
        "a {width} x {height} image cannot be stored as JPEG ({reason}); each side must be 1 to 65535"
    )]
    Recompress { width: u32, height: u32, reason: String },
}

pub(super) fn unreadable(name: &str) -> impl Fn(std::io::Error) -> ImageError {
    move |source| ImageError::Unreadable { name: name.into(), source }
}

pub(super) fn unknown(name: &str) -> impl Fn(String) -> ImageError {
    move |found| ImageError::UnknownFormat { name: name.into(), found }
}

pub(super) fn damaged(name: &str, format: &'static str, reason: String) -> ImageError {
    ImageError::Damaged { name: name.into(), format, reason }
}

/// What a decoder says: either the file is damaged, or of a kind that the decoder does not know.
pub(super) fn undecoded(name: &str, format: &'static str, error: image::ImageError) -> ImageError {
    let reason = error.to_string();
    match error {
        image::ImageError::Unsupported(_) => {
            ImageError::Unsupported { name: name.into(), format, reason }
        }
        image::ImageError::Limits(_) => {
            damaged(name, format, "a part of it claims to be far larger than the image".into())
        }
        _ => damaged(name, format, reason),
    }
}
