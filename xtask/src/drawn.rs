//! Models with drawn weights, and the sizes of a conversation.

use std::path::Path;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor};
use mllmseg::device;
use mllmseg::model::checkpoint::{CheckpointError, SaveOptions, save_model};
use mllmseg::model::{Mllmseg, MllmsegConfig};
use mllmseg_model::lora::LoraConfig;
use mllmseg_train::recipe::TrainedRecipe;
use mllmseg_train::{TrainableSet, TrainingMode};

/// Tokens of the system text and the header before the image, in InternVL2.5's template.
pub const TOKENS_BEFORE_IMAGE: usize = 45;
/// Tokens after `</img>` up to `[SEG]`, for an expression of five words.
pub const TOKENS_AFTER_IMAGE: usize = 35;

/// A model whose adapters and mask decoder record gradients and stay in f32, as loading a checkpoint
/// for training does it; `dtype` is that of everything else.
pub fn model(
    config: &MllmsegConfig,
    lora: Option<LoraConfig>,
    dtype: DType,
    device: &Device,
) -> Mllmseg {
    let model = Mllmseg::new(config, lora, device);
    let mut model = TrainableSet::LoraAndDecoder.prepare(model, training_mode());
    if dtype != DType::F32 {
        let mut cast = CastFrozen(dtype);
        model.vision = model.vision.map(&mut cast);
        model.projector = model.projector.map(&mut cast);
        model.language_model = model.language_model.map(&mut cast);
    }
    model
}

/// That of the published recipe.
pub fn training_mode() -> TrainingMode {
    TrainedRecipe::default().mode()
}

/// Writes a checkpoint.
pub fn checkpoint(config: &MllmsegConfig, out: &Path, dtype: DType) -> Result<(), CheckpointError> {
    let model = Mllmseg::new(config, None, &device::cpu().device);
    save_model(&model, config, None, out, SaveOptions { dtype, ..Default::default() })
}

/// Casts weights that record no gradients: all but the adapters.
struct CastFrozen(DType);

impl ModuleMapper for CastFrozen {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if param.is_require_grad() { param } else { param.map(|x| x.cast(self.0)) }
    }
}
