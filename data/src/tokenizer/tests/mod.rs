//! Tests of the tokenizers against the Python implementations' own ids.

mod bad_input;
mod oracle;
mod saving;

use super::Tokenizer;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A folder of `tests/fixtures/tokenizer`, written by `tests/oracle/tokenizer.py`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizer").join(name)
}

/// A folder of the workspace's reference cases.
pub(crate) fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference").join(name)
}

pub(crate) fn load(dir: &Path) -> Tokenizer {
    Tokenizer::from_dir(dir).unwrap_or_else(|error| panic!("{error}"))
}

/// Copies a folder's files, so that a test may spoil them.
pub(crate) fn copy(from: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    dir
}

/// A JSON file of a folder.
pub(crate) fn json(dir: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join(name)).unwrap()).unwrap()
}

/// Changes a JSON file of a folder.
pub(crate) fn edit(dir: &Path, name: &str, change: impl FnOnce(&mut Value)) {
    let mut value = json(dir, name);
    change(&mut value);
    std::fs::write(dir.join(name), value.to_string()).unwrap();
}
