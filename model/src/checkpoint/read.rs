//! Small text files of unknown origin.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The text of a file of at most `most` bytes, without a byte-order mark; a larger file is refused
/// and not read.
pub(crate) fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let file = File::open(path)?;
    let found = file.metadata()?.len();
    if found > most {
        return Err(io::Error::other(format!("expected at most {most} bytes, found {found}")));
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    text_of(bytes)
}

/// UTF-8 without a byte-order mark.
pub(super) fn text_of(bytes: Vec<u8>) -> io::Result<String> {
    let found = match &bytes[..] {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16",
        _ => "other bytes",
    };
    let text = String::from_utf8(bytes)
        .map_err(|_| io::Error::other(format!("expected text in UTF-8, found {found}")))?;
    Ok(text.strip_prefix('\u{feff}').map(String::from).unwrap_or(text))
}
