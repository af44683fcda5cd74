//! Parity with the published Python implementation on a reference case.
//!
//! A case is a folder of the format in `tests/reference/README.md`: an image, a question and an
//! answer, and outputs of the published code on weights that are drawn by rule. Everything is
//! computed here from the image and the two texts; expected values are only compared with.

mod compare;
mod dump;
pub mod train;

use std::error::Error;
use std::path::Path;

use burn::tensor::Tensor;
use mllmseg::Segmenter;
use mllmseg::data::image::read_image;
use mllmseg::device::{DtypeChoice, SelectedDevice};

use crate::case::Case;
pub use compare::{Row, Tolerances, compare};
pub use dump::Dump;

/// Runs a case on a checkpoint and returns everything it computes, in full; [`train::run`] adds
/// what training computes.
pub fn run(
    case: &Path,
    checkpoint: &Path,
    device: &SelectedDevice,
) -> Result<Dump, Box<dyn Error>> {
    let Case { question, answer, .. } = Case::read(case)?;
    let segmenter = Segmenter::load_as(checkpoint, device, DtypeChoice::F32)?;
    let image = read_image(case.join("image.png"))?;
    let prompt = segmenter.tokenize(&question, Some(&answer))?;
    let pixels = segmenter.pixels(&image);
    let (state, segmented) = segmenter.forward_plain(pixels.clone(), &prompt);
    let logits = segmenter.model.language_model.lm_head.forward(state.hidden.clone());

    let mut dump = Dump::default();
    let ids: Vec<i32> = prompt.input_ids.iter().map(|&id| id as i32).collect();
    let length = ids.len();
    dump.array("pred_ids", predicted_ids(&segmenter, &ids, &logits), [length]);
    dump.array("input_ids", ids, [1, length]);
    dump.array("labels", prompt.labels.iter().map(|&id| id as i32).collect(), [1, length]);
    dump.tensor("pixel_values", pixels);
    dump.tensor("vit_feature", state.image_tokens);
    dump.tensor("projected", state.projected);
    dump.tensor("last_hidden_state", state.hidden);
    dump.tensor("logits", logits);
    match segmented {
        Some(segmented) => dump.tensor("masks", segmented.masks),
        None => {
            let size = segmenter.config.mask_size();
            dump.array("masks", Vec::<f32>::new(), [0, size, size]);
        }
    }
    Ok(dump)
}

/// The ids with each `[SEG]` and `[REJ]` as the model decides it: `[REJ]` where the arg-max one position
/// earlier is `[REJ]`, else `[SEG]`.
fn predicted_ids(segmenter: &Segmenter, ids: &[i32], logits: &Tensor<3>) -> Vec<i32> {
    let special = &segmenter.special;
    let (seg, rej) = (special.seg as i32, special.rej as i32);
    let best: Vec<i64> = logits.clone().argmax(2).into_data().iter::<i64>().collect();
    let decide = |(position, &id): (usize, &i32)| match id == seg || id == rej {
        true if position > 0 && best[position - 1] == rej as i64 => rej,
        true => seg,
        false => id,
    };
    ids.iter().enumerate().map(decide).collect()
}
