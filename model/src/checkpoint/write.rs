//! Files that appear whole or not at all: written beside their place, made durable, then renamed.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use ::safetensors::{View, serialize_to_file};

use super::CheckpointError;

/// Writes a safetensors file. Tensors are drawn one at a time; one whose data is shorter than it
/// says, which is how a [`View`] tells that it cannot be read, fails the write.
pub fn write_safetensors<V: View>(
    views: Vec<(String, V)>,
    path: &Path,
) -> Result<(), CheckpointError> {
    let expected: usize = views.iter().map(|(_, view)| view.data_len()).sum();
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    whole_or_not(path, |part| {
        // The library makes its own file, readable by its owner alone: take the usual rights.
        let rights = File::create(part)?.metadata()?.permissions();
        serialize_to_file(views, Some(metadata), part).map_err(std::io::Error::other)?;
        std::fs::set_permissions(part, rights)?;
        match std::fs::metadata(part)?.len() < expected as u64 {
            true => Err(std::io::Error::other("a tensor could not be read from its device")),
            false => Ok(()),
        }
    })
}

/// Writes indented JSON.
pub fn write_json(value: &serde_json::Value, path: &Path) -> Result<(), CheckpointError> {
    whole_or_not(path, |part| std::fs::write(part, format!("{value:#}\n")))
}

fn whole_or_not(
    path: &Path,
    write: impl FnOnce(&Path) -> std::io::Result<()>,
) -> Result<(), CheckpointError> {
    let part = part_path(path);
    let written = write(&part)
        .and_then(|()| File::open(&part)?.sync_all())
        .and_then(|()| std::fs::rename(&part, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&part); // the error that matters is the first one
    }
    written.map_err(CheckpointError::io(path))
}

fn part_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}
