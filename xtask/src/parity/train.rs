//! Losses, gradients and six steps of AdamW on a reference case.

use std::error::Error;
use std::path::Path;

use burn::tensor::DType;
use mllmseg::Segmenter;
use mllmseg::data::image::read_image;
use mllmseg::data::mask::Bitmap;
use mllmseg::device::{DtypeChoice, SelectedDevice};
use mllmseg_model::checkpoint::names::NameTable;
use mllmseg_model::checkpoint::safetensors::read_safetensors;
use mllmseg_train::step::StepGradients;
use mllmseg_train::{
    AdamW, OptimizerConfig, TrainBatch, TrainExample, TrainStep, TrainableSet, TrainingMode,
};

use super::dump::Dump;
use crate::case::{Case, at};

/// Steps of the reference trajectory.
const STEPS: usize = 6;
/// Its constant learning rate.
const LEARNING_RATE: f64 = 1e-3;
/// Its largest norm of all gradients.
const MAX_NORM: f64 = 1.0;

/// Trains on a case as its reference did and adds the results to `dump`: `train_*`,
/// `adamw_trajectory` and the norms of all gradients.
///
/// Trained are the adapters and the mask decoder, or every weight where the case has no adapters;
/// without dropout, and with the batch norm's stored statistics.
///
/// Returns `false`, with nothing added, for a case whose `expected.safetensors` has no `gt_masks`.
pub fn run(
    case: &Path,
    checkpoint: &Path,
    device: &SelectedDevice,
    dump: &mut Dump,
) -> Result<bool, Box<dyn Error>> {
    let texts = Case::read(case)?;
    let Some(masks) = true_masks(case, &texts.rej)? else {
        return Ok(false);
    };
    let segmenter = Segmenter::load_as(checkpoint, device, DtypeChoice::F32)?;
    let prompt = segmenter.tokenize(&texts.question, Some(&texts.answer))?;
    let image = read_image(case.join("image.png"))?;
    let batch = TrainBatch::new(segmenter.pixels(&image), vec![TrainExample::new(prompt, masks)]);
    let has_lora = segmenter.report.lora_rank.is_some();
    let trained = match has_lora {
        true => TrainableSet::LoraAndDecoder,
        false => TrainableSet::Everything,
    };
    let table = NameTable::new(&segmenter.config, has_lora);
    let step = TrainStep::new(segmenter.special.seg);
    let mut model = trained.prepare(segmenter.model.clone(), TrainingMode::AS_EVALUATION);
    let batches = [batch];
    let mut optimizer = AdamW::new(OptimizerConfig::default());
    let mut trajectory = Vec::with_capacity(5 * STEPS);
    for index in 0..STEPS {
        let gradients = step.gradients(&model, &batches, 0)?;
        if index == 0 {
            first_step(dump, &gradients, &table);
        }
        let losses = gradients.losses;
        let row = [losses.total, losses.ce, losses.pixel, losses.dice];
        trajectory.extend(row.map(|value| value as f32));
        trajectory.push(gradients.norms.total as f32);
        let factor = gradients.norms.clip_factor(MAX_NORM);
        model = optimizer.step(LEARNING_RATE, model, gradients.params, factor);
    }
    dump.array("adamw_trajectory", trajectory, [STEPS, 5]);
    Ok(true)
}

fn first_step(dump: &mut Dump, gradients: &StepGradients, table: &NameTable) {
    let losses = gradients.losses;
    let values = [
        ("train_loss", losses.total),
        ("train_ce_loss", losses.ce),
        ("train_mask_focal_loss", losses.pixel),
        ("train_mask_dice_loss", losses.dice),
        ("train_iou", losses.iou),
    ];
    for (name, value) in values {
        dump.array(name, vec![value as f32], [1]);
    }
    let names = table.names();
    let norms = gradients.norms.of_weights.iter().map(|(path, norm)| {
        let name = names.get(path.as_str()).copied().unwrap_or(path);
        (name.to_string(), *norm)
    });
    dump.grad_norms = norms.collect();
}

/// `gt_masks` [N, H, W] of the case, `None` where an expression is rejected; no list at all where
/// the case has none.
fn true_masks(case: &Path, rejected: &[u8]) -> Result<Option<Vec<Option<Bitmap>>>, Box<dyn Error>> {
    let path = case.join("expected.safetensors");
    let Some(masks) = read_safetensors(&path)?.remove("gt_masks") else {
        return Ok(None);
    };
    let (count, shape, dtype) = (rejected.len(), masks.shape(), masks.dtype());
    let sizes = match shape[..] {
        [n, height, width] if n == count && height * width > 0 => Some((height, width)),
        _ => None,
    };
    let Some((height, width)) = sizes.filter(|_| dtype == DType::U8) else {
        let message = format!(
            "gt_masks: expected U8 [{count}, H, W], found {dtype:?} {:?}",
            shape.as_slice()
        );
        return Err(at(&path)(message).into());
    };
    let masks = masks.as_bytes().chunks_exact(height * width).zip(rejected);
    let masks = masks.map(|(pixels, &rejected)| match rejected {
        0 => Bitmap::from_bytes(height, width, pixels).map(Some),
        _ => Ok(None),
    });
    let masks = masks.collect::<Result<_, _>>().map_err(at(&path))?;
    Ok(Some(masks))
}
