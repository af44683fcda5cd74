//! A checkpoint with separate LoRA made into one without.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use mllmseg_model::MllmsegConfig;
use mllmseg_model::checkpoint::merge::merge_weights;
use mllmseg_model::checkpoint::write::write_json;
use mllmseg_model::checkpoint::{CheckpointError, SaveOptions, WeightFiles};
use mllmseg_model::config::ConfigError;
use serde_json::Value;
use thiserror::Error;

pub use mllmseg_model::checkpoint::merge::MergeReport;

use crate::device;

/// What a merged checkpoint takes over as it is: tokenizer files, the published Python code,
/// generation and image settings, chat templates.
const SIDE_FILES: [&str; 5] = ["json", "model", "txt", "py", "jinja"];
/// What it must not: these say that there are adapters, name other weights, or tell of a training.
const NOT_SIDE_FILES: [&str; 4] =
    ["config.json", "adapter_config.json", "trainer_state.json", "all_results.json"];
/// The largest of these files, in bytes; tokenizer files have about 20 MB at most.
const MAX_SIDE_FILE: u64 = 256 << 20;

/// Why there is no merged checkpoint.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MergeError {
    /// `config.json`.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The weights; [`CheckpointError::NoLora`] if there is nothing to merge.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Something is where the merged checkpoint should go.
    #[error("{}: expected a new or empty folder, found {found}; name another", path.display())]
    InTheWay {
        /// The place.
        path: PathBuf,
        /// What is there.
        found: &'static str,
    },
    /// A file that is too large for what its name says.
    #[error("{}: {found} bytes, expected at most {limit}; move it out of the folder", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        found: u64,
        /// The largest size that is copied.
        limit: u64,
    },
    /// `config.json` that changed while it was read.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's word.
        source: io::Error,
    },
}

impl MergeError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// Folds the LoRA of the checkpoint `input` into its base and writes the result to `output`, a new
/// or empty folder: weights under the names of a model without LoRA, each in its dtype on disk,
/// `config.json` with `use_llm_lora` 0, and the tokenizer's and other small files as they are.
///
/// `output` appears whole or not at all: everything is written beside it first and made durable. A
/// process that is killed leaves a folder `.mllmseg-…` there, which may be deleted.
///
/// # Errors
/// See [`MergeError`]. Nothing is left behind then.
pub fn merge_lora(input: &Path, output: &Path) -> Result<MergeReport, MergeError> {
    check_free(output)?;
    let config = MllmsegConfig::from_dir(input)?;
    let files = WeightFiles::open(input)?;
    if files.lora_rank().is_none() {
        return Err(CheckpointError::NoLora { dir: input.to_owned() }.into());
    }
    let parent = match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(MergeError::io(parent))?;
    let beside = tempfile::Builder::new().prefix(".mllmseg-").tempdir_in(parent);
    let beside = beside.map_err(MergeError::io(parent))?;
    let folder = beside.path().join("merged"); // with the usual rights, unlike the one around it
    fs::create_dir(&folder).map_err(MergeError::io(&folder))?;

    copy_side_files(input, &folder)?;
    let shard = SaveOptions::default().max_shard_bytes;
    let report = merge_weights(files, &config, &folder, shard, &device::cpu().device)?;
    write_json(&merged_config(input)?, &folder.join("config.json"))?;
    sync_folder(&folder)?;

    check_free(output)?;
    if output.exists() {
        fs::remove_dir(output).map_err(MergeError::io(output))?; // fails unless it is empty
    }
    fs::rename(&folder, output).map_err(MergeError::io(output))?;
    sync_folder(parent)?;
    Ok(report)
}

fn check_free(output: &Path) -> Result<(), MergeError> {
    let in_the_way = |found| MergeError::InTheWay { path: output.to_owned(), found };
    match fs::read_dir(output).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(in_the_way("a folder with files in it")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(in_the_way("a file")),
        Err(error) => Err(MergeError::io(output)(error)),
    }
}

/// The `config.json` as it is, but for the rank.
fn merged_config(input: &Path) -> Result<Value, MergeError> {
    let path = input.join("config.json");
    let text = fs::read(&path).map_err(MergeError::io(&path))?;
    let mut config: Value =
        serde_json::from_slice(&text).map_err(|source| MergeError::Json { path, source })?;
    if let Some(keys) = config.as_object_mut() {
        keys.insert("use_llm_lora".to_owned(), 0.into());
    }
    Ok(config)
}

fn copy_side_files(input: &Path, folder: &Path) -> Result<(), MergeError> {
    for entry in fs::read_dir(input).map_err(MergeError::io(input))? {
        let path = entry.map_err(MergeError::io(input))?.path();
        let Some(name) = path.file_name().filter(|name| is_side_file(name)) else {
            continue;
        };
        let about = fs::metadata(&path).map_err(MergeError::io(&path))?;
        if !about.is_file() {
            continue;
        }
        if about.len() > MAX_SIDE_FILE {
            let (found, limit) = (about.len(), MAX_SIDE_FILE);
            return Err(MergeError::TooLarge { path, found, limit });
        }
        let target = folder.join(name);
        let bytes = fs::read(&path).map_err(MergeError::io(&path))?;
        fs::write(&target, bytes).map_err(MergeError::io(&target))?;
        let written = File::open(&target).and_then(|file| file.sync_all());
        written.map_err(MergeError::io(&target))?;
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

/// Makes the names in a folder durable, where the system can.
fn sync_folder(folder: &Path) -> Result<(), MergeError> {
    match cfg!(unix) {
        true => File::open(folder).and_then(|f| f.sync_all()).map_err(MergeError::io(folder)),
        false => Ok(()),
    }
}
