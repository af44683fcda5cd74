//! A training run in its folder: started, stopped, resumed, and the trained model written.
//!
//! | file of the run | holds |
//! | --- | --- |
//! | `recipe.toml` | every number |
//! | `run.toml` | where base and data are |
//! | `base/` | the drawn model, for runs that start from nothing |
//! | `snapshots/` | what is needed to resume |
//! | `checked-images.json` | images that were found whole |
//! | `steps.csv`, `validation.csv`, `curves.png` | losses, speed and scores |
//! | `model/` | the trained model, a checkpoint folder |
//! | `run.lock` | nothing: a training that works in the folder locks it |

mod curves;
mod devices;
mod error;
mod export;
#[cfg(feature = "tui")]
mod full_screen;
mod lines;
mod load;
mod new_model;
mod run_files;

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mllmseg_data::files::NewFolder;
use mllmseg_data::refer::CheckedImages;
use mllmseg_model::checkpoint::LoadReport;
use mllmseg_train::display::Display;
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
#[cfg(feature = "tui")]
pub use full_screen::FullScreen;
pub use lines::Lines;
use load::{Loaded, save};
use run_files::RunFiles;
pub use run_files::Start;

/// A run that is ready to train.
///
/// ```no_run
/// use std::sync::atomic::AtomicBool;
///
/// use mllmseg::device;
/// use mllmseg::train::Recipe;
/// use mllmseg::training::{Lines, Start, Training};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (base, recipe) = (Start::Base("InternVL2_5-1B".into()), Recipe::open("res-paper")?);
/// let training =
///     Training::start(&base, "data".as_ref(), "run".as_ref(), recipe, &[device::cpu()])?;
/// let mut lines = Lines::new(training.steps(), false);
/// let finished = training.go(&AtomicBool::new(false), &mut lines)?;
/// println!("{:?}", finished.model);
/// # Ok(())
/// # }
/// ```
pub struct Training {
    trainer: Trainer,
    base: Segmenter,
    files: RunFiles,
    lock: File,
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
    /// What was wrong with the images in whose place others were drawn.
    pub bad_images: Vec<String>,
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
        let (files, lock) = RunFiles::create(out, start, data, recipe)?;
        if files.start == Start::Nothing {
            new_model::create(&files)?;
        }
        Self::prepare(files, devices, lock)
    }

    /// Prepares the run in the folder `out`, from its last snapshot or, without one, from its
    /// start.
    pub fn resume(out: &Path, devices: &[SelectedDevice]) -> Result<Self, TrainingError> {
        let files = RunFiles::open(out)?;
        let lock = run_files::lock(out)?;
        if files.start == Start::Nothing && !files.base().join("config.json").exists() {
            new_model::create(&files)?;
        }
        Self::prepare(files, devices, lock)
    }

    fn prepare(
        files: RunFiles,
        devices: &[SelectedDevice],
        lock: File,
    ) -> Result<Self, TrainingError> {
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
        let validated = (!recipe.validation.dataset.is_empty()).then_some(&recipe);
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
        Ok(Self { trainer, base, files, lock })
    }

    /// The steps that are still to be taken.
    pub fn steps(&self) -> Range<usize> {
        self.trainer.state.progress.step..self.files.recipe.steps
    }

    /// Opens every training image and reads its header, so that a damaged one is not met first after hours.
    /// The run's `checked-images.json` remembers those that were whole; unchanged, they are not read again.
    ///
    /// # Errors
    /// [`TrainingError::Data`] for more bad images than the recipe allows.
    pub fn check_images(&self, progress: &(dyn Fn(usize) + Sync)) -> Result<(), TrainingError> {
        let mut checked = CheckedImages::open(&self.files.dir.join("checked-images.json"));
        let outcome = self.mix().check_images(&mut checked, progress);
        checked.save()?;
        Ok(outcome?)
    }

    /// The training data.
    pub fn mix(&self) -> &DataMix {
        &self.trainer.mix
    }

    /// What was found on loading the model that the run starts from.
    pub fn loaded(&self) -> &LoadReport {
        &self.base.report
    }

    /// Trains until the last step, or until `stop` is set or the display asks for it. After the last step it
    /// writes the model: the best by validation, or the last one without validation.
    ///
    /// # Errors
    /// [`TrainingError`]; the snapshots written before can be resumed.
    pub fn go(
        self,
        stop: &AtomicBool,
        display: &mut dyn Display,
    ) -> Result<Finished, TrainingError> {
        let Range { start: first, end: last } = self.steps();
        let Self { trainer, base, files, lock: _lock } = self;
        let mix = trainer.mix.clone();
        let mut curves = Curves::open(&files.dir, first, files.recipe.loss.mask)?;
        let (model, progress) = trainer.run(display, &mut curves, stop)?;
        curves.finish()?;
        let (steps, best, bad_images) = (progress.step, progress.best, mix.bad_images());
        if steps < last {
            return Ok(Finished { steps, model: None, best: None, bad_images });
        }
        let out = files.dir.join("model");
        let folder = NewFolder::replacing(&out)?;
        match best.filter(|best| best.step != steps) {
            None => save(Segmenter { model, ..base }, folder, files.recipe.layout)?,
            Some(best) => {
                let (device, dtype) = (base.device.clone(), model.dtype());
                drop((model, base)); // two models may not fit
                Loaded::load(&files, &device, dtype, Some(best.step))?
                    .save(folder, files.recipe.layout)?;
            }
        }
        Ok(Finished { steps, model: Some(out), best, bad_images })
    }
}
