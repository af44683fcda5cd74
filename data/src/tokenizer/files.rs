//! Bounded reading and atomic writing of tokenizer files.

use super::TokenizerError;
use serde_json::{Map, Value};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The largest tokenizer file that is read, in bytes. The largest published one has about 20 MB.
pub(super) const MAX_FILE_BYTES: u64 = 256 << 20;

/// Reads a whole file of at most [`MAX_FILE_BYTES`].
pub(super) fn read(path: &Path) -> Result<Vec<u8>, TokenizerError> {
    read_at_most(path, MAX_FILE_BYTES)
}

fn read_at_most(path: &Path, limit: u64) -> Result<Vec<u8>, TokenizerError> {
    let failed = |source| TokenizerError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let too_large =
        |found| Err(TokenizerError::FileTooLarge { path: path.to_owned(), limit, found });
    if size > limit {
        return too_large(size);
    }
    // The file may grow, or be a pipe that names no size: `take` keeps the promise either way.
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 {
        found if found > limit => too_large(found),
        _ => Ok(bytes),
    }
}

/// Reads a file as UTF-8 text, without a leading byte order mark.
pub(super) fn utf8<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str, TokenizerError> {
    let text = std::str::from_utf8(bytes).map_err(|error| TokenizerError::Content {
        path: path.to_owned(),
        expected: "UTF-8 text".into(),
        found: format!("an invalid byte at offset {}", error.valid_up_to()),
        advice: "download the file again".into(),
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Parses a JSON file whose top level is an object.
pub(super) fn json_object(path: &Path, bytes: &[u8]) -> Result<Map<String, Value>, TokenizerError> {
    let text = utf8(path, bytes)?;
    let value: Value = serde_json::from_str(text)
        .map_err(|source| TokenizerError::Json { path: path.to_owned(), source })?;
    match value {
        Value::Object(map) => Ok(map),
        other => Err(TokenizerError::Content {
            path: path.to_owned(),
            expected: "a JSON object".into(),
            found: kind(&other).into(),
            advice: "download the file again".into(),
        }),
    }
}

/// Reads and parses a JSON object, or `None` when the folder has no such file.
pub(super) fn optional_json(
    dir: &Path,
    name: &str,
) -> Result<Option<Map<String, Value>>, TokenizerError> {
    let path = dir.join(name);
    if !path.is_file() {
        return Ok(None);
    }
    json_object(&path, &read(&path)?).map(Some)
}

/// The name of a JSON value's type, for messages.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Writes a file so that its name always holds either the old content or the whole new one.
///
/// The bytes go to a temporary file in the same folder, reach the disk, and then take the name.
pub(super) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), TokenizerError> {
    let failed = |source| TokenizerError::Write { path: path.to_owned(), source };
    let temporary = temporary_name(path);
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    written.map_err(|source| {
        // The rename did not happen, so what is left is only our own half-written file.
        let _ = fs::remove_file(&temporary);
        failed(source)
    })
}

fn temporary_name(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_over_the_limit_is_refused_with_both_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vocab.json");
        fs::write(&path, [b'x'; 11]).unwrap();
        let message = read_at_most(&path, 10).unwrap_err().to_string();
        assert!(message.contains("11 bytes") && message.contains("the 10"), "{message}");
        assert!(message.contains("vocab.json"), "{message}");
        assert_eq!(read_at_most(&path, 11).unwrap().len(), 11);
    }

    #[test]
    fn writing_replaces_the_whole_file_and_leaves_no_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write_atomic(&path, b"long first content").unwrap();
        write_atomic(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let message = write_atomic(&dir.path().join("no/a.json"), b"x").unwrap_err().to_string();
        assert!(message.contains("cannot write"), "{message}");
    }
}
