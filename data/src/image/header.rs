//! The size of an image from the first bytes of its file: no pixel is decoded.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek};
use std::path::Path;

use image::ImageFormat;
use image::metadata::Orientation as Turn;

use super::decode::{self, Orientation};
use super::error::{self, ImageError, MAX_FILE_BYTES};
use super::formats::{SIGNATURE_BYTES, recognise};

/// The bytes of a JPEG that are read at first, and if its header is longer: the decoder would take the whole file.
const JPEG_HEADERS: [u64; 3] = [64 << 10, 1 << 20, MAX_FILE_BYTES];

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
    let unreadable = error::unreadable(&name);
    let signature = file.fill_buf().map_err(&unreadable)?;
    let signature = &signature[..signature.len().min(SIGNATURE_BYTES)];
    let (format, format_name) = recognise(signature).map_err(error::unknown(&name))?;
    let size = |reader: &mut dyn Source| {
        let decoder = decode::decoder(reader, format);
        let decoder = decoder.map_err(|error| error::undecoded(&name, format_name, error))?;
        decode::check_size(&decoder, &name)
    };
    let size = match format {
        ImageFormat::Jpeg => {
            let mut bytes = Vec::new();
            let mut found = None;
            for limit in JPEG_HEADERS {
                let more = limit - bytes.len() as u64;
                (&mut file).take(more).read_to_end(&mut bytes).map_err(&unreadable)?;
                found = Some(size(&mut Cursor::new(&bytes)));
                if matches!(found, Some(Ok(_))) || (bytes.len() as u64) < limit {
                    break; // that was all of it
                }
            }
            found
        }
        _ => Some(size(&mut file)),
    };
    let (width, height) = size.unwrap_or_else(|| Err(unreadable(io::Error::other("no header"))))?;
    file.rewind().map_err(&unreadable)?;
    let on_its_side = matches!(
        decode::turn(&mut file, format, orientation),
        Turn::Rotate90 | Turn::Rotate270 | Turn::Rotate90FlipH | Turn::Rotate270FlipH
    );
    Ok(if on_its_side { (height, width) } else { (width, height) })
}

/// Width and height as [`read_size`], of a file that is also whole as far as its structure shows: of a JPEG, PNG or
/// WebP the end is looked for. No pixel is decoded.
///
/// # Errors
/// As [`read_size`], and [`ImageError::Damaged`] for a file that breaks off.
pub fn check_image(
    path: impl AsRef<Path>,
    orientation: Orientation,
) -> Result<(u32, u32), ImageError> {
    let path = path.as_ref();
    let size = read_size(path, orientation)?;
    let name = path.display().to_string();
    let unreadable = error::unreadable(&name);
    let bytes = decode::read_bounded(open_regular(path, &name)?).map_err(&unreadable)?;
    decode::check_complete(&bytes, &name)?;
    Ok(size)
}

/// Width and height, as stored, of an image held in memory; `name` is for error messages.
///
/// # Errors
/// As [`read_size`], but for the file.
pub fn size_in_memory(bytes: &[u8], name: &str) -> Result<(u32, u32), ImageError> {
    let (format, format_name) = recognise(bytes).map_err(error::unknown(name))?;
    let decoder = decode::decoder(Cursor::new(bytes), format);
    let decoder = decoder.map_err(|error| error::undecoded(name, format_name, error))?;
    decode::check_size(&decoder, name)
}

/// What the decoders read from.
trait Source: BufRead + Seek {}
impl<T: BufRead + Seek> Source for T {}

/// Opens a file of at most [`MAX_FILE_BYTES`] and nothing else: opening a pipe, for one, could wait for ever.
pub(super) fn open_regular(path: &Path, name: &str) -> Result<File, ImageError> {
    let about = path.metadata().map_err(error::unreadable(name))?;
    if !about.is_file() {
        return Err(error::unreadable(name)(io::Error::other("no regular file")));
    }
    if about.len() > MAX_FILE_BYTES {
        return Err(ImageError::FileTooLarge { name: name.into() });
    }
    File::open(path).map_err(error::unreadable(name))
}
