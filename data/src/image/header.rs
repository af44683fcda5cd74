//! The size of an image from the first bytes of its file: no pixel is decoded.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek};
use std::path::Path;

use image::metadata::Orientation as Turn;
use image::{ImageDecoder, ImageFormat};

use super::decode::{self, Orientation};
use super::error::{self, ImageError, MAX_FILE_BYTES};

/// The bytes of a JPEG that are read at first, and if its header is longer: the decoder would take the whole file.
const JPEG_HEADERS: [u64; 3] = [64 << 10, 1 << 20, MAX_FILE_BYTES];
/// Bytes that tell the formats apart.
const SIGNATURE_BYTES: usize = 16;

/// Width and height of the image at `path` in the given orientation, in pixels.
///
/// Only the header is read, so a damaged or incomplete image may still have a size.
///
/// # Errors
/// As [`read_image`](super::read_image), as far as the header shows; also for what is no regular file.
pub fn read_size(
    path: impl AsRef<Path>,
    orientation: Orientation,
) -> Result<(u32, u32), ImageError> {
    let path = path.as_ref();
    let name = path.display().to_string();
    let mut file = BufReader::new(open_regular(path, &name)?);
    let signature = file.fill_buf().map_err(error::unreadable(&name))?;
    let signature = &signature[..signature.len().min(SIGNATURE_BYTES)];
    let (format, format_name) = decode::recognise(signature).map_err(error::unknown(&name))?;
    if format != ImageFormat::Jpeg {
        return size_of(file, format, orientation)
            .map_err(|reason| error::damaged(&name, format_name, reason))
            .and_then(|size| decode::check_size(size, &name));
    }
    let mut bytes = Vec::new();
    let mut reason = String::new();
    for limit in JPEG_HEADERS {
        let more = limit - bytes.len() as u64;
        (&mut file).take(more).read_to_end(&mut bytes).map_err(error::unreadable(&name))?;
        match size_of(Cursor::new(&bytes), format, orientation) {
            Ok(size) => return decode::check_size(size, &name),
            Err(why) => reason = why,
        }
        if (bytes.len() as u64) < limit {
            break; // that was all of it
        }
    }
    Err(error::damaged(&name, format_name, reason))
}

/// Width and height of an image held in memory, upright; `name` is for error messages.
///
/// # Errors
/// As [`read_size`], but for the file.
pub fn size_in_memory(bytes: &[u8], name: &str) -> Result<(u32, u32), ImageError> {
    let (format, format_name) = decode::recognise(bytes).map_err(error::unknown(name))?;
    let size = size_of(Cursor::new(bytes), format, Orientation::Upright);
    decode::check_size(size.map_err(|reason| error::damaged(name, format_name, reason))?, name)
}

/// Opens a file and nothing else: opening a pipe, for one, could wait for ever.
pub(super) fn open_regular(path: &Path, name: &str) -> Result<File, ImageError> {
    if !path.metadata().map_err(error::unreadable(name))?.is_file() {
        return Err(error::unreadable(name)(io::Error::other("no regular file")));
    }
    File::open(path).map_err(error::unreadable(name))
}

fn size_of(
    reader: impl BufRead + Seek,
    format: ImageFormat,
    orientation: Orientation,
) -> Result<(u32, u32), String> {
    let mut decoder = decode::decoder(reader, format)?;
    let (width, height) = decoder.dimensions();
    let on_its_side = matches!(
        decode::turn(&mut decoder, orientation),
        Turn::Rotate90 | Turn::Rotate270 | Turn::Rotate90FlipH | Turn::Rotate270FlipH
    );
    Ok(if on_its_side { (height, width) } else { (width, height) })
}
