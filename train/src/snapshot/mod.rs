//! What a run needs to go on: the trained weights, the optimizer's memory, and how far it was.
//!
//! A snapshot is a folder `step-00000500/` that appears whole or not at all: it is written under
//! another name, made durable, and renamed. Random choices depend on the seed and on the number of
//! the step alone ([`draw`](crate::draw)), and the learning rate on the number of the step, so no
//! other state is needed to go on bit for bit.
//!
//! | file | holds |
//! | --- | --- |
//! | `trained.safetensors` | every weight that is trained, by its checkpoint name, as in the model's memory |
//! | `adamw.safetensors` | `NAME.mean`, `NAME.square` and, for weights below f32, `NAME.master` |
//! | `state.json` | the step, updates of each weight, the best validation so far |

pub mod weights;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use burn::tensor::{DType, TensorData};
use mllmseg_model::Mllmseg;
use mllmseg_model::checkpoint::CheckpointError;
use mllmseg_model::checkpoint::names::NameTable;
use mllmseg_model::checkpoint::write::{write_json, write_safetensors};
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::optimizer::state::{SavedMoments, StateError};
use crate::optimizer::{AdamW, AdamWConfig};
use weights::{trained_weights, with_weights};

const WEIGHTS: &str = "trained.safetensors";
const OPTIMIZER: &str = "adamw.safetensors";
const STATE: &str = "state.json";

/// Why a snapshot cannot be written or read.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// A folder or file that cannot be written, read or removed.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the snapshot that cannot be written.
    #[error("{0}; the earlier snapshots are as they were")]
    Write(#[from] CheckpointError),
    /// A file of the snapshot that is damaged.
    #[error("{path}: {message}; remove the folder to go on from the snapshot before it")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What was expected and what was found.
        message: String,
    },
    /// A snapshot of another model.
    #[error("{path}: {message}; resume with the base and the recipe that the run was started with")]
    Mismatch {
        /// Which file.
        path: PathBuf,
        /// What was expected and what was found.
        message: String,
    },
    /// The optimizer's memory does not fit the model.
    #[error("{path}: {source}")]
    Optimizer {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: StateError,
    },
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done: the number of the next one.
    pub step: usize,
    /// The best validation so far.
    pub best: Option<Best>,
}

/// A validation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// After so many steps.
    pub step: usize,
    /// Its cIoU, in percent.
    pub ciou: f64,
}

#[derive(Serialize, Deserialize)]
struct State {
    #[serde(flatten)]
    progress: Progress,
    /// Updates of each weight.
    updates: BTreeMap<String, u32>,
}

/// The snapshots of a run.
#[derive(Debug, Clone)]
pub struct Snapshots {
    dir: PathBuf,
    keep: usize,
}

impl Snapshots {
    /// Those in a folder, of which the last `keep` and the best are kept.
    pub fn new(dir: impl Into<PathBuf>, keep: usize) -> Self {
        Self { dir: dir.into(), keep }
    }

    /// Writes a snapshot, then removes those that need not be kept.
    ///
    /// # Errors
    /// [`SnapshotError`]; earlier snapshots are removed only after this one is durable.
    pub fn save(
        &self,
        model: &Mllmseg,
        optimizer: &AdamW,
        table: &NameTable,
        progress: &Progress,
    ) -> Result<PathBuf, SnapshotError> {
        let place = self.place(progress.step);
        let part = place.with_extension("part");
        remove_folder(&part)?;
        fs::create_dir_all(&part).map_err(io(&part))?;
        let written = write_parts(&part, model, optimizer, table, progress).and_then(|()| {
            // A step that is taken again after a resume replaces what it left before.
            remove_folder(&place)?;
            sync_folder(&part)?;
            fs::rename(&part, &place).map_err(io(&place))?;
            sync_folder(&self.dir)
        });
        if let Err(error) = written {
            let _ = fs::remove_dir_all(&part); // the error that matters is the first one
            return Err(error);
        }
        self.thin_out(progress.best)?;
        Ok(place)
    }

    /// The last one that is whole.
    ///
    /// # Errors
    /// [`SnapshotError::Io`] if the folder cannot be listed; without it there is none.
    pub fn latest(&self) -> Result<Option<PathBuf>, SnapshotError> {
        Ok(self.steps()?.last().map(|&step| self.place(step)))
    }

    /// The snapshot after so many steps, if it is there.
    pub fn at(&self, step: usize) -> Option<PathBuf> {
        let place = self.place(step);
        place.is_dir().then_some(place)
    }

    /// The steps after which there are snapshots, in order.
    ///
    /// # Errors
    /// [`SnapshotError::Io`].
    pub fn steps(&self) -> Result<Vec<usize>, SnapshotError> {
        if !self.dir.exists() {
            return Ok(Vec::new());
        }
        let mut steps = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(io(&self.dir))? {
            let name = entry.map_err(io(&self.dir))?.file_name();
            let step = name.to_str().and_then(|name| name.strip_prefix("step-"));
            steps.extend(step.and_then(|step| step.parse::<usize>().ok()));
        }
        steps.sort_unstable();
        Ok(steps)
    }

    fn place(&self, step: usize) -> PathBuf {
        self.dir.join(format!("step-{step:08}"))
    }

    /// Removes what need not be kept, and what killed runs left unfinished.
    fn thin_out(&self, best: Option<Best>) -> Result<(), SnapshotError> {
        for entry in fs::read_dir(&self.dir).map_err(io(&self.dir))? {
            let path = entry.map_err(io(&self.dir))?.path();
            if path.extension().is_some_and(|kind| kind == "part" || kind == "old") {
                fs::remove_dir_all(&path).map_err(io(&path))?;
            }
        }
        let steps = self.steps()?;
        let superfluous = steps.len().saturating_sub(self.keep);
        for &step in &steps[..superfluous] {
            if best.is_none_or(|best| best.step != step) {
                remove_folder(&self.place(step))?;
            }
        }
        Ok(())
    }
}

/// Where a run goes on.
#[derive(Debug)]
pub struct Restored {
    /// The model with the snapshot's weights, prepared as it was.
    pub model: Mllmseg,
    /// The optimizer with its memory.
    pub optimizer: AdamW,
    /// How far it was.
    pub progress: Progress,
}

/// Puts a snapshot into a model that was loaded and prepared as at the start of the run.
///
/// # Errors
/// [`SnapshotError`] for a damaged file, or a snapshot of another model.
pub fn restore(
    dir: &Path,
    model: Mllmseg,
    config: AdamWConfig,
    table: &NameTable,
) -> Result<Restored, SnapshotError> {
    let state_path = dir.join(STATE);
    let text = fs::read_to_string(&state_path).map_err(io(&state_path))?;
    let state: State = serde_json::from_str(&text).map_err(|error| SnapshotError::Damaged {
        path: state_path.clone(),
        message: error.to_string(),
    })?;
    let weights_path = dir.join(WEIGHTS);
    let model = with_weights(model, read_arrays(&weights_path)?, table)
        .map_err(|message| SnapshotError::Mismatch { path: weights_path, message })?;
    let optimizer_path = dir.join(OPTIMIZER);
    let saved = moments(read_arrays(&optimizer_path)?, &state.updates)
        .map_err(|message| SnapshotError::Damaged { path: optimizer_path.clone(), message })?;
    let optimizer = AdamW::restore(config, saved, &model, table)
        .map_err(|source| SnapshotError::Optimizer { path: optimizer_path, source })?;
    Ok(Restored { model, optimizer, progress: state.progress })
}

fn write_parts(
    dir: &Path,
    model: &Mllmseg,
    optimizer: &AdamW,
    table: &NameTable,
    progress: &Progress,
) -> Result<(), SnapshotError> {
    let weights = trained_weights(model, table)
        .map_err(|message| SnapshotError::Mismatch { path: dir.join(WEIGHTS), message })?;
    write_safetensors(weights, &dir.join(WEIGHTS))?;
    let saved = optimizer
        .save(table)
        .map_err(|source| SnapshotError::Optimizer { path: dir.join(OPTIMIZER), source })?;
    let updates = saved.iter().map(|(name, moments)| (name.clone(), moments.step)).collect();
    let arrays = saved.into_iter().flat_map(|(name, SavedMoments { mean, square, master, .. })| {
        let named = |kind: &str, data| (format!("{name}.{kind}"), data);
        let both = [named("mean", mean), named("square", square)];
        both.into_iter().chain(master.map(|master| named("master", master))).collect::<Vec<_>>()
    });
    write_safetensors(arrays.collect(), &dir.join(OPTIMIZER))?;
    let state = State { progress: progress.clone(), updates };
    let state = serde_json::to_value(&state).map_err(|error| SnapshotError::Damaged {
        path: dir.join(STATE),
        message: error.to_string(),
    })?;
    Ok(write_json(&state, &dir.join(STATE))?)
}

/// From arrays by name to what the optimizer remembers of each weight.
fn moments(
    arrays: BTreeMap<String, TensorData>,
    updates: &BTreeMap<String, u32>,
) -> Result<BTreeMap<String, SavedMoments>, String> {
    let mut arrays = arrays;
    let mut saved = BTreeMap::new();
    for (name, &step) in updates {
        let mut take = |kind: &str| arrays.remove(&format!("{name}.{kind}"));
        let (mean, square) = take("mean").zip(take("square")).ok_or_else(|| {
            format!("expected {name}.mean and {name}.square, which state.json names; found neither or one")
        })?;
        let master = take("master");
        saved.insert(name.clone(), SavedMoments { step, mean, square, master });
    }
    match arrays.keys().next() {
        Some(name) => Err(format!("{name} belongs to no weight that state.json names")),
        None => Ok(saved),
    }
}

fn read_arrays(path: &Path) -> Result<BTreeMap<String, TensorData>, SnapshotError> {
    let damaged = |message: String| SnapshotError::Damaged { path: path.to_path_buf(), message };
    let bytes = fs::read(path).map_err(io(path))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
    let arrays = file.iter().map(|(name, view)| {
        let dtype = match view.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::BF16 => DType::BF16,
            Dtype::F16 => DType::F16,
            other => {
                return Err(damaged(format!("{name} is {other:?}; expected F32, BF16 or F16")));
            }
        };
        let data = TensorData::from_bytes_vec(view.data().to_vec(), view.shape().to_vec(), dtype);
        Ok((name.to_string(), data))
    });
    arrays.collect()
}

fn remove_folder(path: &Path) -> Result<(), SnapshotError> {
    if !path.exists() {
        return Ok(());
    }
    // First out of the way in one step, so that no half of it is ever taken for a whole one.
    let trash = path.with_extension("old");
    if trash != path && trash.exists() {
        fs::remove_dir_all(&trash).map_err(io(&trash))?;
    }
    fs::rename(path, &trash).map_err(io(path))?;
    fs::remove_dir_all(&trash).map_err(io(&trash))
}

fn sync_folder(path: &Path) -> Result<(), SnapshotError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(io(path))
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> SnapshotError + '_ {
    move |source| SnapshotError::Io { path: path.to_path_buf(), source }
}
