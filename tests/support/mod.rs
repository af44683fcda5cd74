//! What several test files share.
#![allow(dead_code)] // each test file uses its part

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use tempfile::TempDir;
use xtask::weights::{CheckpointOptions, write_checkpoint};

/// A file or folder under `tests/`.
pub fn tests(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(path)
}

/// The folder of a reference case.
pub fn case(name: &str) -> PathBuf {
    tests("reference").join(name)
}

/// The checkpoint of a reference case, its weights drawn by rule.
pub fn drawn_checkpoint(name: &str, shards: usize) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let options = CheckpointOptions { shards, ..Default::default() };
    write_checkpoint(&case(name), dir.path(), &options).unwrap();
    dir
}

/// Tensors of all safetensors files of a folder: dtype, shape, bytes.
pub fn tensors_of(dir: &Path) -> BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> {
    let mut tensors = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "safetensors") {
            let bytes = std::fs::read(&path).unwrap();
            for (name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
                let tensor = (view.dtype(), view.shape().to_vec(), view.data().to_vec());
                assert!(tensors.insert(name, tensor).is_none());
            }
        }
    }
    tensors
}

/// All of these words, in any order.
pub fn assert_says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "expected {word:?} in: {message}");
    }
}
