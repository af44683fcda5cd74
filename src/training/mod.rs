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
mod devices;
mod error;
mod export;
mod lines;
mod load;
mod new_model;
mod run_files;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::Arc;

use burn::train::Interrupter;
use burn::train::renderer::MetricsRenderer;
use mllmseg_train::mix::{Conversation, DataMix};
use mllmseg_train::snapshot::Best;
use mllmseg_train::validation::ValidationSet;
use mllmseg_train::{Recipe, Trainer};

use crate::Segmenter;
use crate::device::SelectedDevice;
use curves::Curves;
use devices::{dtype, main_device, replicas};
pub use error::TrainingError;
pub use export::export;
pub use lines::Lines;
use load::{Loaded, save};
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
        let files = RunFiles::create(out, start, data, recipe)?;
        if files.start == Start::Nothing {
            new_model::create(&files)?;
        }
        Self::prepare(files, devices)
    }

    /// Prepares the run in the folder `out`, from its last snapshot or, without one, from its
    /// start.
    pub fn resume(out: &Path, devices: &[SelectedDevice]) -> Result<Self, TrainingError> {
        let files = RunFiles::open(out)?;
        if files.start == Start::Nothing && !files.base().join("config.json").exists() {
            new_model::create(&files)?;
        }
        Self::prepare(files, devices)
    }

    fn prepare(files: RunFiles, devices: &[SelectedDevice]) -> Result<Self, TrainingError> {
        let main = main_device(devices);
        let dtype = dtype(&files.recipe.dtype, &[devices, slice::from_ref(&main)].concat())?;
        let Loaded { base, state, snapshots } = Loaded::load(&files, &main, dtype, None)?;
        let conversation = Conversation {
            tokenizer: base.tokenizer.clone(),
            template: base.template,
            num_image_tokens: base.config.num_image_tokens(),
            image_size: base.config.image_size,
        };
        let (root, recipe) = (&files.data, files.recipe.clone());
        let validated = (!recipe.validation.dataset.is_empty()).then_some(&recipe.validation);
        let validation = validated
            .map(|recipe| ValidationSet::open(root, recipe, conversation.clone()))
            .transpose()?;
        let mix = DataMix::open(root, &recipe, conversation)?;
        let trainer = Trainer {
            recipe,
            replicas: replicas(&state.model, devices)?,
            state,
            special: base.special,
            snapshots,
            mix: Arc::new(mix),
            validation: validation.map(Arc::new),
        };
        Ok(Self { trainer, base, files })
    }

    /// The steps that are still to be taken.
    pub fn steps(&self) -> Range<usize> {
        self.trainer.state.progress.step..self.files.recipe.steps
    }

    /// The training data.
    pub fn mix(&self) -> &DataMix {
        &self.trainer.mix
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
        let Range { start: first, end: last } = self.steps();
        let Self { trainer, base, files } = self;
        let mut curves = Curves::open(&files.dir, first, files.recipe.loss.mask)?;
        let (model, progress) = trainer.run(renderer, &mut curves, &interrupter)?;
        curves.finish()?;
        let (steps, best) = (progress.step, progress.best);
        if steps < last {
            return Ok(Finished { steps, model: None, best: None });
        }
        let out = files.dir.join("model");
        match best.filter(|best| best.step != steps) {
            None => save(Segmenter { model, ..base }, &out)?,
            Some(best) => {
                let (device, dtype) = (base.device.clone(), model.dtype());
                drop((model, base)); // two models may not fit
                Loaded::load(&files, &device, dtype, Some(best.step))?.save(&out)?;
            }
        }
        Ok(Finished { steps, model: Some(out), best })
    }
}
