//! The picture that a command is asked about: a file, or standard input.

use std::io::{IsTerminal, Read, stdin};
use std::path::Path;

use image::RgbImage;
use mllmseg::data::image::{MAX_FILE_BYTES, Orientation, decode_image, read_image};

use super::CliError;

/// Whether `path` stands for standard input; a file of this name is `./-`.
pub fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// What outputs for a picture are called.
pub fn stem(path: &Path) -> String {
    match is_stdin(path) {
        true => "stdin".into(),
        false => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

/// The pixels of a picture.
pub fn read_picture(path: &Path) -> Result<RgbImage, CliError> {
    if !is_stdin(path) {
        return Ok(read_image(path)?);
    }
    if stdin().is_terminal() {
        return Err("`-` reads the picture from standard input; add `< photo.jpg`".into());
    }
    let mut bytes = Vec::new();
    // One byte more shows that there are too many.
    stdin().lock().take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(decode_image(&bytes, "standard input", Orientation::Upright)?)
}
