//! The model of a run that is not over.

use std::path::Path;
use std::slice;

use mllmseg_data::files::NewFolder;

use super::devices::dtype;
use super::error::TrainingError;
use super::load::Loaded;
use super::run_files::RunFiles;
use crate::device::SelectedDevice;

/// Writes the model of a run as it is after some of its steps: of its best validation so far, or of
/// its last snapshot where there was none; returns the number of steps.
pub fn export(
    run: &Path,
    step: Option<usize>,
    out: &Path,
    device: &SelectedDevice,
) -> Result<usize, TrainingError> {
    let files = RunFiles::open(run)?;
    let folder = NewFolder::create(out)?;
    let dtype = dtype(&files.recipe.dtype, slice::from_ref(device))?;
    let load = |step| Loaded::load(&files, device, dtype, step);
    let mut loaded = load(step)?;
    let best = loaded.state.progress.best.map(|best| best.step);
    if let Some(best) = best.filter(|&best| step.is_none() && best != loaded.state.progress.step) {
        drop(loaded); // two models may not fit
        loaded = load(Some(best))?;
    }
    let step = loaded.state.progress.step;
    loaded.save(folder, files.recipe.layout).map(|()| step)
}
