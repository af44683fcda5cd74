//! Telling one checkpoint from another without reading all of it.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use mllmseg_data::files::FileError;
use ring::digest::{Context, SHA256};

/// Blocks read of each file, evenly spread, and their length in bytes.
const BLOCKS: u64 = 64;
const BLOCK_BYTES: u64 = 16 << 10;

/// A name for a checkpoint's contents: SHA-256 over names, lengths and samples of its files, 16
/// hexadecimal digits of it. Another training step changes it, moving the folder does not.
///
/// # Errors
/// If the folder or a file in it cannot be read.
pub(super) fn of_checkpoint(dir: &Path) -> Result<String, FileError> {
    let mut hash = Context::new(&SHA256);
    for path in files_in(dir)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut file = File::open(&path).map_err(FileError::at(&path))?;
        let length = file.metadata().map_err(FileError::at(&path))?.len();
        hash.update(format!("{}:{name}:{length}\n", name.len()).as_bytes());
        for block in 0..BLOCKS.min(length.div_ceil(BLOCK_BYTES)) {
            let start = match length.checked_sub(BLOCKS * BLOCK_BYTES) {
                None => block * BLOCK_BYTES,
                Some(beyond) => block * BLOCK_BYTES + beyond * block / (BLOCKS - 1),
            };
            file.seek(SeekFrom::Start(start)).map_err(FileError::at(&path))?;
            let mut bytes = Vec::new();
            (&mut file).take(BLOCK_BYTES).read_to_end(&mut bytes).map_err(FileError::at(&path))?;
            hash.update(&bytes);
        }
    }
    Ok(hash.finish().as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

/// Weights, configuration and tokenizer, by name.
fn files_in(dir: &Path) -> Result<Vec<PathBuf>, FileError> {
    const KINDS: [&str; 5] = ["safetensors", "bin", "json", "model", "txt"];
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(FileError::at(dir))? {
        let path = entry.map_err(FileError::at(dir))?.path();
        let kind = path.extension().and_then(|kind| kind.to_str());
        if path.is_file() && kind.is_some_and(|kind| KINDS.contains(&kind)) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_count_and_the_place_does_not() {
        let [a, b] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let mut weights = vec![7u8; 5 << 20];
        for dir in [&a, &b] {
            fs::write(dir.path().join("model.safetensors"), &weights).unwrap();
            fs::write(dir.path().join("config.json"), "{}").unwrap();
        }
        let first = of_checkpoint(a.path()).unwrap();
        assert_eq!(first.len(), 16);
        assert_eq!(first, of_checkpoint(b.path()).unwrap());
        if let Some(last) = weights.last_mut() {
            *last = 8;
        }
        fs::write(b.path().join("model.safetensors"), &weights).unwrap();
        assert_ne!(first, of_checkpoint(b.path()).unwrap());
    }
}
