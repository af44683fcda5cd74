//! What a run needs to be resumed: the trained weights, the optimizer state, and the step.
//!
//! A snapshot is a folder `step-00000500/` that appears whole or not at all: it is written under
//! another name, made durable, and renamed. Random choices depend on the seed and on the number of
//! the step alone ([`draw`](crate::draw)), and the learning rate on the number of the step, so
//! a run is resumed bit for bit without any other state.
//!
//! | file | holds |
//! | --- | --- |
//! | `trained.safetensors` | every trained weight by its checkpoint name, as in the model |
//! | `adamw.safetensors` | the [optimizer state](crate::optimizer::state::SavedState) |
//! | `state.json` | the step, updates of each weight, the best validation so far, running statistics |

mod arrays;
mod error;
mod running;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use mllmseg_model::Mllmseg;
use mllmseg_model::checkpoint::names::NameTable;
use mllmseg_model::checkpoint::safetensors::read_safetensors;
use mllmseg_model::checkpoint::write::{write_json, write_safetensors};
use serde::{Deserialize, Serialize};

use crate::optimizer::AdamW;
use crate::optimizer::state::SavedState;
use arrays::{trained_weights, with_weights};
pub use error::SnapshotError;
use error::{io, mismatch};
use running::RunningStatistics;

const WEIGHTS: &str = "trained.safetensors";
const OPTIMIZER: &str = "adamw.safetensors";
const STATE: &str = "state.json";

/// What a training changes.
#[derive(Debug)]
pub struct TrainState {
    /// The model, prepared for training
    /// ([`TrainableSet::prepare`](crate::TrainableSet::prepare)).
    pub model: Mllmseg,
    /// The optimizer with its state.
    pub optimizer: AdamW,
    /// The steps done, and the best validation.
    pub progress: Progress,
}

/// The progress of a run.
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

impl Progress {
    /// Notes a validation of the present step by its cIoU, in percent.
    pub(crate) fn note(&mut self, ciou: f64) {
        if self.best.is_none_or(|best| ciou > best.ciou) {
            self.best = Some(Best { step: self.step, ciou });
        }
    }
}

#[derive(Serialize, Deserialize)]
struct State {
    #[serde(flatten)]
    progress: Progress,
    updates: BTreeMap<String, u32>,
    /// Absent where the batch norm keeps its stored statistics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch_norm: Option<RunningStatistics>,
}

/// The snapshots of a run.
#[derive(Debug, Clone)]
pub struct Snapshots {
    /// Their folder.
    pub dir: PathBuf,
    /// How many of the last are kept; the best is kept too.
    pub keep: usize,
    /// Names of the weights.
    pub table: NameTable,
}

impl Snapshots {
    /// Writes a snapshot, then removes those that need not be kept.
    ///
    /// # Errors
    /// [`SnapshotError`]; earlier snapshots are removed only after this one is durable.
    pub fn save(&self, state: &TrainState) -> Result<(), SnapshotError> {
        let folder = self.folder(state.progress.step);
        let part = folder.with_extension("part");
        remove_folder(&part)?;
        fs::create_dir_all(&part).map_err(io(&part))?;
        let written = write_files(&part, state, &self.table).and_then(|()| {
            // A step that is taken again after a resume replaces its earlier snapshot.
            remove_folder(&folder)?;
            sync_folder(&part)?;
            fs::rename(&part, &folder).map_err(io(&folder))?;
            sync_folder(&self.dir)
        });
        if let Err(error) = written {
            let _ = fs::remove_dir_all(&part); // the error that matters is the first one
            return Err(error);
        }
        self.prune(state.progress.best)
    }

    /// Restores the snapshot after `step` steps, or the last one. `start` is the model as it was
    /// loaded and prepared at the start of the run, to which a run without snapshots goes back.
    ///
    /// # Errors
    /// [`SnapshotError`] for a snapshot that is not there, a damaged file, or one of another model.
    pub fn restore(
        &self,
        step: Option<usize>,
        start: TrainState,
    ) -> Result<TrainState, SnapshotError> {
        let there = self.steps()?;
        match step.or(there.last().copied()) {
            None => Ok(start),
            Some(step) if there.contains(&step) => {
                read_files(&self.folder(step), start, &self.table)
            }
            Some(step) => Err(SnapshotError::Missing { dir: self.dir.clone(), step, there }),
        }
    }

    /// The steps after which there are snapshots, in order.
    fn steps(&self) -> Result<Vec<usize>, SnapshotError> {
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

    fn folder(&self, step: usize) -> PathBuf {
        self.dir.join(format!("step-{step:08}"))
    }

    /// Removes what need not be kept, and what killed runs left unfinished.
    fn prune(&self, best: Option<Best>) -> Result<(), SnapshotError> {
        for entry in fs::read_dir(&self.dir).map_err(io(&self.dir))? {
            let path = entry.map_err(io(&self.dir))?.path();
            if path.extension().is_some_and(|kind| kind == "part" || kind == "old") {
                fs::remove_dir_all(&path).map_err(io(&path))?;
            }
        }
        let steps = self.steps()?;
        let superfluous = &steps[..steps.len().saturating_sub(self.keep)];
        let is_best = |step| best.is_some_and(|best| best.step == step);
        for &step in superfluous.iter().filter(|&&step| !is_best(step)) {
            remove_folder(&self.folder(step))?;
        }
        Ok(())
    }
}

fn read_files(
    dir: &Path,
    start: TrainState,
    table: &NameTable,
) -> Result<TrainState, SnapshotError> {
    let [state, weights, moments] = [STATE, WEIGHTS, OPTIMIZER].map(|name| dir.join(name));
    let text = fs::read_to_string(&state).map_err(io(&state))?;
    let State { progress, updates, batch_norm } = serde_json::from_str(&text).map_err(|error| {
        SnapshotError::Damaged { path: state.clone(), message: error.to_string() }
    })?;
    let arrays = read_safetensors(&weights).map_err(SnapshotError::Read)?;
    let mut model = with_weights(start.model, arrays, table).map_err(mismatch(&weights))?;
    running::restore(&mut model.mask_decoder.head.norm, batch_norm).map_err(mismatch(&state))?;
    let arrays = read_safetensors(&moments).map_err(SnapshotError::Read)?;
    let optimizer = start.optimizer.restore(SavedState { updates, arrays }, &model, table);
    Ok(TrainState { optimizer: optimizer.map_err(mismatch(&moments))?, model, progress })
}

fn write_files(
    dir: &Path,
    TrainState { model, optimizer, progress }: &TrainState,
    table: &NameTable,
) -> Result<(), SnapshotError> {
    let [state, weights, moments] = [STATE, WEIGHTS, OPTIMIZER].map(|name| dir.join(name));
    let trained = trained_weights(model, table).map_err(mismatch(&weights))?;
    write_safetensors(trained.into_iter().collect(), &weights)?;
    let SavedState { updates, arrays } = optimizer.save(table).map_err(mismatch(&moments))?;
    write_safetensors(arrays.into_iter().collect(), &moments)?;
    let batch_norm = RunningStatistics::of(&model.mask_decoder.head.norm);
    let contents = State { progress: progress.clone(), updates, batch_norm };
    let contents = serde_json::to_value(&contents).map_err(mismatch(&state))?;
    Ok(write_json(&contents, &state)?)
}

/// Removes a folder, if it is there.
fn remove_folder(path: &Path) -> Result<(), SnapshotError> {
    if !path.exists() {
        return Ok(());
    }
    // Renamed first, so that a folder that is removed in part is never taken for a whole one.
    let trash = path.with_extension("old");
    if trash.exists() {
        fs::remove_dir_all(&trash).map_err(io(&trash))?;
    }
    fs::rename(path, &trash).map_err(io(path))?;
    fs::remove_dir_all(&trash).map_err(io(&trash))
}

fn sync_folder(path: &Path) -> Result<(), SnapshotError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(io(path))
}
