//! Small text files of unknown origin.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The text of a file of at most `most` bytes; a larger one is refused and not read.
pub(crate) fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let file = File::open(path)?;
    let found = file.metadata()?.len();
    if found > most {
        return Err(io::Error::other(format!("expected at most {most} bytes, found {found}")));
    }
    let mut text = String::new();
    file.take(most).read_to_string(&mut text)?;
    Ok(text)
}
