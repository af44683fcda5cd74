//! The model of a run with its training state.

use std::path::Path;

use burn::module::Module;
use burn::tensor::DType;
use mllmseg_model::Mllmseg;
use mllmseg_model::checkpoint::SaveOptions;
use mllmseg_model::checkpoint::names::NameTable;
use mllmseg_model::lora::LoraConfig;
use mllmseg_train::recipe::TrainedWeights;
use mllmseg_train::snapshot::{Progress, restore};
use mllmseg_train::{AdamW, Recipe, TrainableSet};

use super::error::TrainingError;
use super::run_files::{RunFiles, Start};
use crate::Segmenter;
use crate::device::{DtypeChoice, SelectedDevice};

/// A model with its training state.
pub(super) struct Loaded {
    /// What the run starts from.
    pub base: Segmenter,
    pub set: TrainableSet,
    pub table: NameTable,
    /// Prepared for training.
    pub model: Mllmseg,
    pub optimizer: AdamW,
    pub progress: Progress,
}

impl Loaded {
    /// The base with a snapshot on top: the one after `step` steps, or the last one, if any.
    pub fn load(
        files: &RunFiles,
        recipe: &Recipe,
        device: &SelectedDevice,
        dtype: DType,
        step: Option<usize>,
    ) -> Result<Self, TrainingError> {
        let trained = recipe.trained;
        let lora = LoraConfig {
            rank: trained.lora_rank,
            alpha: trained.lora_alpha,
            dropout: trained.lora_dropout,
        };
        let new_lora = (trained.weights != TrainedWeights::Everything).then_some(lora);
        // Weights that the base lacks are drawn, the same ones when the run is resumed.
        device.device.seed(recipe.seed);
        let base = Segmenter::load_for_training(&files.base(), device, dtype, new_lora)?;
        if matches!(files.start, Start::Init(_)) && base.report.fresh_mask_decoder {
            return Err(TrainingError::NotTrained(files.base()));
        }
        let set = match trained.weights {
            TrainedWeights::LoraAndDecoder => TrainableSet::LoraAndDecoder,
            TrainedWeights::Published => TrainableSet::Published(base.config.language.architecture),
            TrainedWeights::Everything => TrainableSet::Everything,
        };
        let has_lora = new_lora.is_some() || base.report.lora_rank.is_some();
        let table = NameTable::new(&base.config, has_lora);
        let model = set.prepare(base.model.clone(), trained.mode());
        let snapshots = files.snapshots(recipe.snapshots.keep);
        let snapshot = match step {
            None => snapshots.latest()?,
            Some(step) => Some(snapshots.at(step)?),
        };
        let (model, optimizer, progress) = match snapshot {
            None => (model, AdamW::new(recipe.adamw()), Progress::default()),
            Some(snapshot) => restore(&snapshot, model, recipe.adamw(), &table)?,
        };
        Ok(Self { base, set, table, model, optimizer, progress })
    }

    /// Writes the model as a checkpoint folder.
    pub fn save(self, dir: &Path) -> Result<(), TrainingError> {
        save(Segmenter { model: self.model.valid(), ..self.base }, dir)
    }
}

/// Writes a checkpoint folder in the dtype of the model.
pub(super) fn save(segmenter: Segmenter, dir: &Path) -> Result<(), TrainingError> {
    let options = SaveOptions { dtype: segmenter.model.dtype(), ..SaveOptions::default() };
    Ok(segmenter.save(dir, options)?)
}

/// The dtype of a recipe on all devices together.
pub(super) fn dtype(recipe: &Recipe, devices: &[SelectedDevice]) -> Result<DType, TrainingError> {
    let choice = recipe.dtype.parse::<DtypeChoice>();
    let choice = choice.map_err(|message| TrainingError::Name("dtype", message))?;
    Ok(choice.resolve_all(devices)?)
}
