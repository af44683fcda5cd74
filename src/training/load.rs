//! What a run starts from, with the training state of one of its snapshots.

use burn::module::Module;
use burn::tensor::DType;
use mllmseg_data::files::NewFolder;
use mllmseg_model::checkpoint::SaveOptions;
use mllmseg_model::checkpoint::names::NameTable;
use mllmseg_model::config::Layout;
use mllmseg_train::recipe::TrainedWeights;
use mllmseg_train::snapshot::{Progress, Snapshots, TrainState};
use mllmseg_train::{AdamW, TrainableSet};

use super::error::TrainingError;
use super::run_files::{RunFiles, Start};
use crate::Segmenter;
use crate::device::SelectedDevice;

/// A model with its training state.
pub(super) struct Loaded {
    /// What the run starts from.
    pub base: Segmenter,
    pub state: TrainState,
    pub snapshots: Snapshots,
}

impl Loaded {
    /// The base with a snapshot on top: the one after `step` steps, or the last one, if any.
    pub fn load(
        files: &RunFiles,
        device: &SelectedDevice,
        dtype: DType,
        step: Option<usize>,
    ) -> Result<Self, TrainingError> {
        let recipe = &files.recipe;
        let new_lora = recipe.trained.new_lora();
        // Weights that the base lacks are drawn, the same ones when the run is resumed.
        device.device.seed(recipe.seed);
        let base = Segmenter::load_for_training(&files.base(), device, dtype, new_lora)?;
        if matches!(files.start, Start::Init(_)) && base.report.fresh_mask_decoder {
            return Err(TrainingError::NotTrained(files.base()));
        }
        base.check_layout(recipe.layout)?; // before the first step, not after the last
        let set = match recipe.trained.weights {
            TrainedWeights::LoraAndDecoder => TrainableSet::LoraAndDecoder,
            TrainedWeights::Published => TrainableSet::Published(base.config.language.architecture),
            TrainedWeights::Everything => TrainableSet::Everything,
        };
        let has_lora = new_lora.is_some() || base.report.lora_rank.is_some();
        let table = NameTable::new(&base.config, has_lora);
        let (dir, keep) = (files.dir.join("snapshots"), recipe.snapshots.keep);
        let snapshots = Snapshots { dir, keep, table };
        let model = set.prepare(base.model.clone(), recipe.trained.mode());
        let (optimizer, progress) = (AdamW::new(recipe.optimizer), Progress::default());
        let state = snapshots.restore(step, TrainState { model, optimizer, progress })?;
        Ok(Self { base, state, snapshots })
    }

    /// Writes the model as a checkpoint folder.
    pub fn save(self, folder: NewFolder, layout: Option<Layout>) -> Result<(), TrainingError> {
        save(Segmenter { model: self.state.model.valid(), ..self.base }, folder, layout)
    }
}

/// Writes a checkpoint folder in the dtype of the model; without `layout`, in that of its base.
pub(super) fn save(
    segmenter: Segmenter,
    folder: NewFolder,
    layout: Option<Layout>,
) -> Result<(), TrainingError> {
    let dtype = segmenter.model.dtype();
    Ok(segmenter.save_in(folder, SaveOptions { dtype, layout, ..SaveOptions::default() })?)
}
