//! Which format a file has, by its first bytes and never by its name.

use image::ImageFormat;

/// How the names of images that are read usually end, in lower case: for looking through folders. What a file is, its
/// bytes say.
pub const ENDINGS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"];

/// Bytes that tell all formats apart.
pub(super) const SIGNATURE_BYTES: usize = 132;

/// What is often met under the name of an image: where its mark is, the mark, and what to call it.
const OTHERS: [(usize, &[u8], &str); 22] = [
    (4, b"ftypcrx", "a Canon raw file (CR3)"),
    (4, b"ftypqt", "a QuickTime video"),
    (4, b"ftypjp2", "JPEG 2000"),
    (4, b"ftyp", "an MP4 video"),
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"JXL \r\n\x87\n", "JPEG XL"),
    (4, b"jP  \r\n\x87\n", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"II+\0", "a BigTIFF"),
    (0, b"MM\0+", "a BigTIFF"),
    (0, b"%PDF", "a PDF"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (128, b"DICM", "a DICOM file"),
    (0, b"\0\x05\x16\x07", "a macOS resource file (\"._\"), which holds no image"),
    (0, b"version https://git-lfs", "a Git LFS pointer: run `git lfs pull`; this is not the image"),
    (0, b"<svg", "SVG"),
    (0, b"<?xml", "XML"),
    (0, b"<", "a web page, perhaps of a failed download"),
];
/// Brands of HEIF files with HEVC images, as phones write them.
const HEIC: [&[u8; 4]; 8] =
    [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"];

/// The format of an image and its name, from the first bytes of a file; or what they look like instead.
pub(super) fn recognise(bytes: &[u8]) -> Result<(ImageFormat, &'static str), String> {
    let named = |what: &str| Err(what.to_owned());
    match image::guess_format(bytes) {
        Ok(format @ ImageFormat::Jpeg) => Ok((format, "JPEG")),
        Ok(format @ ImageFormat::Png) => Ok((format, "PNG")),
        Ok(format @ ImageFormat::WebP) => Ok((format, "WebP")),
        Ok(format @ ImageFormat::Bmp) => Ok((format, "BMP")),
        Ok(format @ ImageFormat::Gif) => Ok((format, "GIF")),
        Ok(format @ ImageFormat::Tiff) => Ok((format, "TIFF")),
        _ if bytes.is_empty() => named("an empty file"),
        _ if bytes.iter().all(|&byte| byte == 0) => named("zeros only"),
        guessed => {
            let other = OTHERS.iter().find(|(at, mark, _)| is_at(bytes, *at, mark));
            match (heif(bytes).or(other.map(|(_, _, what)| *what)), guessed) {
                (Some(what), _) => named(what),
                (None, Ok(other)) => Err(format!("{other:?}")),
                (None, Err(_)) => named("none of the known formats"),
            }
        }
    }
}

fn is_at(bytes: &[u8], at: usize, mark: &[u8]) -> bool {
    let there = bytes.get(at..).is_some_and(|rest| rest.starts_with(mark));
    there || at == 0 && bytes.trim_ascii_start().starts_with(mark)
}

/// Which of the two HEIF formats it is, by its brands: an AVIF says that it is a `mif1` too.
fn heif(bytes: &[u8]) -> Option<&'static str> {
    let (start, brands) =
        bytes.split_at_checked(8).filter(|(start, _)| start.ends_with(b"ftyp"))?;
    let end = u32::from_be_bytes(*start.first_chunk()?) as usize;
    let (brands, _) = brands.get(..end.saturating_sub(8)).unwrap_or(brands).as_chunks::<4>();
    let has = |known: &[&[u8; 4]]| brands.iter().any(|brand| known.contains(&brand));
    match (has(&[b"avif", b"avis"]), has(&HEIC)) {
        (true, _) => Some("AVIF"),
        (false, true) => Some("HEIC"),
        (false, false) => None,
    }
}
