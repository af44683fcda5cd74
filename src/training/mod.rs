//! A training run in its folder: started, stopped, resumed, and the trained model written.
//!
//! | file of the run | holds |
//! | --- | --- |
//! | `recipe.toml` | every number |
//! | `run.toml` | where base and data are |
//! | `base/` | the drawn model, for runs that start from nothing |
//! | `snapshots/` | what is needed to resume |
//! | `steps.csv`, `validation.csv`, `curves.png` | losses, speed and scores |
//! | `model/` | the trained model, a checkpoint folder |

mod curves;
mod error;
mod lines;
mod load;
mod new_model;
mod run_files;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::train::Interrupter;
use burn::train::renderer::MetricsRenderer;
use mllmseg_model::checkpoint::LoadReport;
use mllmseg_train::mix::{Conversation, DataMix};
use mllmseg_train::snapshot::Best;
use mllmseg_train::validation::ValidationSet;
use mllmseg_train::{NamedDevice, Recipe, Replicas, TrainStep, Trained, Trainer};

use crate::Segmenter;
use crate::device::{SelectedDevice, cpu};
use curves::Curves;
pub use error::TrainingError;
pub use lines::Lines;
use load::{Loaded, dtype, save};
use run_files::RunFiles;
pub use run_files::Start;

/// A run that is ready to train.
pub struct Training {
    trainer: Trainer,
    base: Segmenter,
    files: RunFiles,
}

/// How a run ended.
#[derive(Debug)]
pub struct Finished {
    /// Steps done.
    pub steps: usize,
    /// The checkpoint folder; none where the run was stopped before its last step.
    pub model: Option<PathBuf>,
    /// The steps after which the model in it was best, if it was validated.
    pub best: Option<Best>,
}

impl Training {
    /// Prepares a new run in the folder `out`, which must hold none.
    pub fn start(
        start: &Start,
        data: &Path,
        out: &Path,
        recipe: Recipe,
        devices: &[SelectedDevice],
    ) -> Result<Self, TrainingError> {
        recipe.check()?;
        let files = RunFiles::create(out, start, data, &recipe)?;
        if *start == Start::Nothing {
            new_model::create(&files, &recipe)?;
        }
        Self::prepare(files, recipe, devices)
    }

    /// Prepares the run in the folder `out`, from its last snapshot or, without one, from its
    /// start.
    pub fn resume(out: &Path, devices: &[SelectedDevice]) -> Result<Self, TrainingError> {
        let (files, recipe) = RunFiles::open(out)?;
        if files.start == Start::Nothing && !files.base().join("config.json").exists() {
            new_model::create(&files, &recipe)?;
        }
        Self::prepare(files, recipe, devices)
    }

    fn prepare(
        files: RunFiles,
        recipe: Recipe,
        devices: &[SelectedDevice],
    ) -> Result<Self, TrainingError> {
        // Model, optimizer and validations are on the first device of this machine.
        let main = devices.iter().find(|device| !device.is_remote());
        let main = main.cloned().unwrap_or_else(cpu);
        let dtype = dtype(&recipe, &[devices, std::slice::from_ref(&main)].concat())?;
        let Loaded { base, set, table, model, optimizer, progress } =
            Loaded::load(&files, &recipe, &main, dtype, None)?;
        let step = TrainStep {
            mask_loss: recipe.loss.mask,
            weights: recipe.loss_weights(),
            gradient_checkpointing: recipe.gradient_checkpointing,
            ..TrainStep::new(base.special.seg)
        };
        let conversation = Conversation {
            tokenizer: base.tokenizer.clone(),
            template: base.template,
            num_image_tokens: base.config.num_image_tokens(),
            image_size: base.config.image_size,
        };
        let validation = match recipe.validation.dataset.is_empty() {
            true => None,
            false => Some(Arc::new(ValidationSet::open(
                &files.data,
                &recipe.validation,
                conversation.clone(),
            )?)),
        };
        let mix = Arc::new(DataMix::open(&files.data, &recipe, conversation)?);
        let named = |device: &SelectedDevice| NamedDevice {
            name: device.id.clone(),
            device: device.device.clone(),
        };
        let replicas = match devices {
            [] => None,
            [only] if !only.is_remote() => None,
            many => {
                let named: Vec<_> = many.iter().map(named).collect();
                Some(Replicas::start(&model, set, recipe.trained.mode(), &named)?)
            }
        };
        let special = base.special;
        let snapshots = files.snapshots(recipe.snapshots.keep);
        let trainer = Trainer {
            recipe,
            model,
            step,
            optimizer,
            replicas,
            special,
            table,
            snapshots,
            progress,
            mix,
            validation,
        };
        Ok(Self { trainer, base, files })
    }

    /// The steps that are still to be taken.
    pub fn steps(&self) -> Range<usize> {
        self.trainer.progress.step..self.trainer.recipe.steps
    }

    /// The training data.
    pub fn mix(&self) -> &DataMix {
        &self.trainer.mix
    }

    /// What was found on loading the model that the run starts from.
    pub fn loaded(&self) -> &LoadReport {
        &self.base.report
    }

    /// Trains until the last step, or until the interrupter says stop. After the last step it
    /// writes the model: the best by validation, or the last one without validation.
    ///
    /// # Errors
    /// [`TrainingError`]; the snapshots written before can be resumed.
    pub fn go(
        self,
        interrupter: Interrupter,
        renderer: Box<dyn MetricsRenderer>,
    ) -> Result<Finished, TrainingError> {
        let Self { trainer, base, files } = self;
        let recipe = trainer.recipe.clone();
        let pixel_term = recipe.loss.mask.pixel_term();
        let mut curves = Curves::open(&files.dir, trainer.progress.step, pixel_term)?;
        let Trained { model, progress } = trainer.run(renderer, &mut curves, &interrupter)?;
        curves.finish()?;
        let (steps, best) = (progress.step, progress.best);
        if steps < recipe.steps {
            return Ok(Finished { steps, model: None, best: None });
        }
        let out = files.dir.join("model");
        match best.filter(|best| best.step != steps) {
            None => save(Segmenter { model, ..base }, &out)?,
            Some(best) => {
                let (device, dtype) = (base.device.clone(), model.dtype());
                drop((model, base)); // two models may not fit
                Loaded::load(&files, &recipe, &device, dtype, Some(best.step))?.save(&out)?;
            }
        }
        Ok(Finished { steps, model: Some(out), best })
    }
}

/// Writes the model of a run as it is after some of its steps: of its best validation so far, or of
/// its last snapshot where there was none; returns the number of steps.
pub fn export(
    run: &Path,
    step: Option<usize>,
    out: &Path,
    device: &SelectedDevice,
) -> Result<usize, TrainingError> {
    let (files, recipe) = RunFiles::open(run)?;
    let dtype = dtype(&recipe, std::slice::from_ref(device))?;
    let load = |step| Loaded::load(&files, &recipe, device, dtype, step);
    let mut loaded = load(step)?;
    let best = loaded.progress.best.map(|best| best.step);
    if let Some(best) = best.filter(|&best| step.is_none() && best != loaded.progress.step) {
        drop(loaded); // two models may not fit
        loaded = load(Some(best))?;
    }
    let step = loaded.progress.step;
    loaded.save(out).map(|()| step)
}
