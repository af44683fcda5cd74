//! A training run from its folder: started, stopped, resumed, and the trained model written.
//!
//! | file of the run | holds |
//! | --- | --- |
//! | `recipe.toml` | every number |
//! | `run.toml` | where base and data are |
//! | `base/` | the drawn model, for runs that start from nothing |
//! | `snapshots/` | what is needed to go on |
//! | `steps.csv`, `validation.csv`, `curves.png` | how it went |
//! | `model/` | the trained model, a checkpoint folder |

mod error;
mod new_model;
mod run_files;

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::train::Interrupter;
use burn::train::renderer::MetricsRenderer;
use mllmseg_model::Mllmseg;
use mllmseg_model::checkpoint::SaveOptions;
use mllmseg_model::checkpoint::names::NameTable;
use mllmseg_model::lora::LoraConfig;
use mllmseg_train::learner::trainee::{Trainee, TraineeParts};
use mllmseg_train::learner::{self, Outcome, TrainingRun};
use mllmseg_train::mix::{Conversation, DataMix};
use mllmseg_train::recipe::TrainedWeights;
use mllmseg_train::snapshot::{Progress, Snapshots, restore};
use mllmseg_train::validation::ValidationSet;
use mllmseg_train::{AdamW, NamedDevice, Recipe, Replicas, TrainStep, TrainableSet};

use crate::Segmenter;
use crate::device::{SelectedDevice, cpu};
pub use error::TrainingError;
pub use run_files::RunFiles;

/// Where a run starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// From a base checkpoint; without a mask decoder it gets a fresh one.
    Base(PathBuf),
    /// From a trained model: the second stage.
    Init(PathBuf),
    /// From nothing: the recipe's `new_model`.
    Nothing,
}

/// A run that is ready to go.
pub struct Training {
    run: TrainingRun,
    /// What the model was loaded as.
    shell: Segmenter,
    files: RunFiles,
}

/// How a run ended.
#[derive(Debug)]
pub struct Finished {
    /// Steps done.
    pub steps: usize,
    /// Whether it was stopped before its last step.
    pub interrupted: bool,
    /// The checkpoint folder, once the last step is done.
    pub model: Option<PathBuf>,
    /// The steps after which the model in it was best, if it was validated.
    pub best: Option<mllmseg_train::snapshot::Best>,
}

impl Training {
    /// Prepares a new run in the folder `out`, which must hold none.
    ///
    /// # Errors
    /// [`TrainingError`].
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

    /// Goes on with the run in the folder `out`, from its last snapshot or, without one, from its
    /// start.
    ///
    /// # Errors
    /// [`TrainingError`].
    pub fn resume(out: &Path, devices: &[SelectedDevice]) -> Result<Self, TrainingError> {
        let (files, recipe) = RunFiles::open(out)?;
        if files.starts_from_nothing() && !files.base().join("config.json").exists() {
            new_model::create(&files, &recipe)?;
        }
        Self::prepare(files, recipe, devices)
    }

    fn prepare(
        files: RunFiles,
        recipe: Recipe,
        devices: &[SelectedDevice],
    ) -> Result<Self, TrainingError> {
        // The model itself, its optimizer and validations are on the first device of this machine.
        let main = devices.iter().find(|device| !device.is_remote());
        let main = main.cloned().unwrap_or_else(cpu);
        let Learnt { shell, set, table, model, optimizer, progress } =
            Learnt::load(&files, &recipe, &main, None)?;
        let step = TrainStep {
            mask_loss: recipe.loss.mask,
            weights: recipe.loss_weights(),
            gradient_checkpointing: recipe.recompute,
            ..TrainStep::new(shell.special_tokens().seg)
        };
        let conversation = Conversation {
            tokenizer: shell.tokenizer().clone(),
            template: shell.template(),
            num_image_tokens: shell.config().num_image_tokens(),
            image_size: shell.config().image_size,
        };
        let validation = match recipe.validation.dataset.is_empty() {
            true => None,
            false => {
                let conversation = conversation.clone();
                Some(ValidationSet::open(files.data(), &recipe.validation, conversation)?)
            }
        };
        let mix = DataMix::open(files.data(), &recipe, conversation)?;
        let replicas = match devices {
            [] => None,
            [only] if !only.is_remote() => None,
            many => {
                let named = many.iter().map(|device| NamedDevice {
                    name: device.spelling.clone(),
                    device: device.device.clone(),
                });
                let named: Vec<_> = named.collect();
                Some(Replicas::start(&model, set, recipe.trained.dropout, &named)?)
            }
        };
        let trainee = Trainee::new(TraineeParts {
            replicas,
            model,
            step,
            special: *shell.special_tokens(),
            seed: recipe.seed,
            max_gradient_norm: recipe.optimizer.max_gradient_norm,
            optimizer,
        });
        let dir = files.dir().to_path_buf();
        let run = TrainingRun { dir, recipe, trainee, table, progress, mix, validation };
        Ok(Self { run, shell, files })
    }

    /// How far it is: the number of the next step.
    pub fn next_step(&self) -> usize {
        self.run.progress.step
    }

    /// Its numbers.
    pub fn recipe(&self) -> &Recipe {
        &self.run.recipe
    }

    /// What it learns from.
    pub fn mix(&self) -> &DataMix {
        &self.run.mix
    }

    /// What it starts from.
    pub fn base(&self) -> &Segmenter {
        &self.shell
    }

    /// Trains until the last step, or until the interrupter says stop, and then writes the model:
    /// the best by validation, or the last one where there was none.
    ///
    /// # Errors
    /// [`TrainingError`]; the snapshots written before can be resumed.
    pub fn go(
        self,
        interrupter: Interrupter,
        renderer: Box<dyn MetricsRenderer>,
    ) -> Result<Finished, TrainingError> {
        let Self { run, shell, files } = self;
        let (recipe, device) = (run.recipe.clone(), shell.device().clone());
        let Outcome { model, progress, interrupted } = learner::train(run, interrupter, renderer)?;
        let (steps, best) = (progress.step, progress.best);
        if interrupted {
            return Ok(Finished { steps, interrupted, model: None, best: None });
        }
        let place = files.model();
        match best.filter(|best| best.step != steps) {
            None => save(shell.with_model(model), &place)?,
            Some(best) => {
                drop((model, shell)); // two models may not fit
                Learnt::load(&files, &recipe, &device, Some(best.step))?.save(&place)?;
            }
        }
        Ok(Finished { steps, interrupted, model: Some(place), best })
    }
}

/// Writes the model of a run as it is after some of its steps: of its best validation so far, or of
/// its last snapshot where there was none; returns the number of steps.
///
/// # Errors
/// [`TrainingError`].
pub fn export(
    run: &Path,
    step: Option<usize>,
    out: &Path,
    device: &SelectedDevice,
) -> Result<usize, TrainingError> {
    let (files, recipe) = RunFiles::open(run)?;
    let learnt = Learnt::load(&files, &recipe, device, step)?;
    let (asked, step) = (step.is_some(), learnt.progress.step);
    match learnt.progress.best.filter(|best| !asked && best.step != step) {
        Some(best) => {
            drop(learnt);
            Learnt::load(&files, &recipe, device, Some(best.step))?.save(out)?;
            Ok(best.step)
        }
        None => learnt.save(out).map(|()| step),
    }
}

/// A model with what it has learnt so far.
struct Learnt {
    /// The base that it was loaded as.
    shell: Segmenter,
    set: TrainableSet,
    table: NameTable,
    /// Prepared for training.
    model: Mllmseg,
    optimizer: AdamW,
    progress: Progress,
}

impl Learnt {
    /// The base with a snapshot on top: the one after `step` steps, or the last one, if any.
    fn load(
        files: &RunFiles,
        recipe: &Recipe,
        device: &SelectedDevice,
        step: Option<usize>,
    ) -> Result<Self, TrainingError> {
        let dtype = recipe.dtype.parse().map_err(|message| TrainingError::Dtype { message })?;
        let trained = recipe.trained;
        let lora = LoraConfig {
            rank: trained.lora_rank,
            alpha: trained.lora_alpha,
            dropout: trained.lora_dropout,
        };
        let new_lora = (trained.weights != TrainedWeights::Everything).then_some(lora);
        // What a base lacks is drawn, and must be the same when the run is resumed.
        device.device.seed(recipe.seed);
        let shell = Segmenter::load_for_training(files.base(), device, dtype, new_lora)?;
        if files.must_segment() && shell.report().fresh_mask_decoder {
            return Err(TrainingError::NotTrained { dir: files.base().to_path_buf() });
        }
        let set = match trained.weights {
            TrainedWeights::LoraAndDecoder => TrainableSet::LoraAndDecoder,
            TrainedWeights::Published => {
                TrainableSet::Published(shell.config().language.architecture)
            }
            TrainedWeights::Everything => TrainableSet::Everything,
        };
        let has_lora = new_lora.is_some() || shell.report().lora_rank.is_some();
        let table = NameTable::new(shell.config(), has_lora);
        let mut model = set.prepare(shell.model().clone(), trained.dropout);
        let mut optimizer = AdamW::new(recipe.adamw());
        let mut progress = Progress::default();
        let snapshots = Snapshots::new(files.snapshots(), recipe.snapshots.keep);
        let snapshot = match step {
            None => snapshots.latest()?,
            Some(step) => Some(snapshots.at(step).ok_or_else(|| TrainingError::NoSnapshot {
                dir: files.snapshots(),
                step,
                there: snapshots.steps().unwrap_or_default(),
            })?),
        };
        if let Some(snapshot) = snapshot {
            let restored = restore(&snapshot, model, recipe.adamw(), &table)?;
            (model, optimizer, progress) = (restored.model, restored.optimizer, restored.progress);
        }
        Ok(Self { shell, set, table, model, optimizer, progress })
    }

    fn save(self, dir: &Path) -> Result<(), TrainingError> {
        save(self.shell.with_model(self.model.valid()), dir)
    }
}

/// A checkpoint folder in the number type of the model.
fn save(model: Segmenter, dir: &Path) -> Result<(), TrainingError> {
    let options = SaveOptions { dtype: model.model().dtype(), ..SaveOptions::default() };
    Ok(model.save(dir, options)?)
}
