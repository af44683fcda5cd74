//! The files of a tokenizer: read with a bound, written whole or not at all.

use super::error::{Result, TokenizerError, content};
use crate::files::{FileError, read_bounded, write_file};
use serde_json::{Map, Value};
use std::io::Write;
use std::path::Path;

pub(super) const SENTENCEPIECE: &str = "tokenizer.model";
pub(super) const VOCAB: &str = "vocab.json";
pub(super) const MERGES: &str = "merges.txt";
pub(super) const JSON: &str = "tokenizer.json";
pub(super) const CONFIG: &str = "tokenizer_config.json";
pub(super) const ADDED: &str = "added_tokens.json";
pub(super) const SPECIAL: &str = "special_tokens_map.json";

/// The largest tokenizer file that is read, in bytes. The largest published one has about 20 MB.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Reads a whole file of at most [`MAX_FILE_BYTES`].
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = read_bounded(path, MAX_FILE_BYTES)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(TokenizerError::Content {
            path: path.to_owned(),
            expected: format!("at most {MAX_FILE_BYTES} bytes"),
            found: "more".into(),
            advice: "no tokenizer file is so large: is it a weight file under a wrong name?",
        });
    }
    Ok(bytes)
}

/// Reads a file as UTF-8 text, without a leading byte order mark.
pub(super) fn utf8<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let found = format!("an invalid byte at offset {}", error.valid_up_to());
        content(path, "UTF-8 text", found)
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Parses a JSON file whose top level is an object.
pub(super) fn json_object(path: &Path, bytes: &[u8]) -> Result<Map<String, Value>> {
    serde_json::from_str(utf8(path, bytes)?).map_err(|error| content(path, "a JSON object", error))
}

/// The bytes of a folder's file by its name; none where there is no such file.
pub type Reader<'a> = &'a dyn Fn(&'static str) -> Result<Option<Vec<u8>>>;

/// Reads a file as [`read`] does, if it is there.
pub(super) fn read_optional(path: &Path) -> Result<Option<Vec<u8>>> {
    path.is_file().then(|| read(path)).transpose()
}

/// Creates a folder if it is not there.
pub(super) fn create_dir(dir: &Path) -> Result<(), FileError> {
    std::fs::create_dir_all(dir).map_err(FileError::at(dir))
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write_file(path, |file| file.write_all(bytes))
}

/// Writes a JSON value on several lines.
pub(super) fn write_json(path: &Path, value: &Value) -> Result<(), FileError> {
    write(path, format!("{value:#}\n").as_bytes())
}
