//! A checkpoint with separate LoRA made into one without.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use mllmseg_data::files::{FileError, NewFolder};
use mllmseg_model::MllmsegConfig;
use mllmseg_model::checkpoint::merge::merge_weights;
use mllmseg_model::checkpoint::write::write_json;
use mllmseg_model::checkpoint::{CheckpointError, SaveOptions, WeightFiles};
use mllmseg_model::config::{ConfigError, published_json};
use serde_json::Value;
use thiserror::Error;

pub use mllmseg_model::checkpoint::merge::MergeReport;

use crate::device;

/// What is copied as it is: tokenizer files, the published Python code, generation and image
/// settings, chat templates.
const SIDE_FILES: [&str; 5] = ["json", "model", "txt", "py", "jinja"];
/// What is not: these say that there are adapters, name other weights, or tell of a training.
const NOT_SIDE_FILES: [&str; 4] =
    ["config.json", "adapter_config.json", "trainer_state.json", "all_results.json"];
/// The largest of these files, in bytes; tokenizer files have about 20 MB at most.
const MAX_SIDE_FILE: u64 = 256 << 20;

/// Why there is no merged checkpoint.
#[derive(Debug, Error)]
#[error(transparent)]
#[non_exhaustive]
pub enum MergeError {
    /// `config.json`.
    Config(#[from] ConfigError),
    /// The weights; [`CheckpointError::NoLora`] if there is nothing to merge.
    Checkpoint(#[from] CheckpointError),
    /// A file or folder that could not be read or written.
    File(#[from] FileError),
    /// A file that is too large for what its name says: its size and the largest, in bytes.
    #[error("{0}: {1} bytes, expected at most {2}; move it out of the folder")]
    TooLarge(PathBuf, u64, u64),
}

/// Folds the LoRA of the checkpoint `input` into its base and writes the result to `output`, a new
/// or empty folder: weights under the names of a model without LoRA, each in its dtype on disk,
/// `config.json` with `use_llm_lora` 0, and the tokenizer's and other small files as they are.
///
/// `output` appears whole or not at all, as [`mllmseg_data::files`] promises.
///
/// # Errors
/// See [`MergeError`]. Nothing is left behind then.
pub fn merge_lora(input: &Path, output: &Path) -> Result<MergeReport, MergeError> {
    let config = MllmsegConfig::from_dir(input)?;
    let files = WeightFiles::open(input)?;
    if files.adapter().is_none() {
        return Err(CheckpointError::NoLora { dir: input.to_owned() }.into());
    }
    let folder = NewFolder::create(output)?;
    copy_side_files(input, folder.path())?;
    let shard = SaveOptions::default().max_shard_bytes;
    let report = merge_weights(files, &config, folder.path(), shard, &device::cpu().device)?;
    write_json(&merged_config(input)?, &folder.path().join("config.json"))?;
    folder.finish()?;
    Ok(report)
}

/// The `config.json` in published keys, without adapters.
fn merged_config(input: &Path) -> Result<Value, MergeError> {
    let path = input.join("config.json");
    let text = fs::read(&path).map_err(FileError::at(&path))?;
    let config = serde_json::from_slice(&text).map_err(io::Error::from);
    let config = published_json(config.map_err(FileError::at(&path))?);
    let mut config = config.map_err(|message| ConfigError { path, message })?;
    if let Some(keys) = config.as_object_mut() {
        keys.insert("use_llm_lora".to_owned(), 0.into());
    }
    Ok(config)
}

fn copy_side_files(input: &Path, folder: &Path) -> Result<(), MergeError> {
    for entry in fs::read_dir(input).map_err(FileError::at(input))? {
        let path = entry.map_err(FileError::at(input))?.path();
        let Some(name) = path.file_name().filter(|name| is_side_file(name)) else {
            continue;
        };
        let about = fs::metadata(&path).map_err(FileError::at(&path))?;
        if !about.is_file() {
            continue;
        }
        if about.len() > MAX_SIDE_FILE {
            return Err(MergeError::TooLarge(path, about.len(), MAX_SIDE_FILE));
        }
        fs::copy(&path, folder.join(name)).map_err(FileError::at(&path))?;
    }
    Ok(())
}

fn is_side_file(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let ending = Path::new(&*name).extension().and_then(OsStr::to_str).unwrap_or_default();
    SIDE_FILES.contains(&ending)
        && !NOT_SIDE_FILES.contains(&&*name)
        && !name.ends_with(".index.json")
}
