//! Every stage of one conversation about one image, by the plain path.

use std::collections::BTreeMap;

use burn::tensor::{DType, Element, Tensor, TensorData};
use image::RgbImage;
use mllmseg_data::prompt::TokenizedPrompt;

use crate::segmenter::{SegmentError, Segmenter};

/// What is computed, in full, by the names of reference files, in f32 and i32: `input_ids`, `labels`,
/// `pixel_values`, `vit_feature`, `projected`, `last_hidden_state`, `logits`, `argmax_ids`, `pred_ids` (the
/// ids with each `[SEG]` and `[REJ]` as predicted) and `masks`, one for each `[SEG]`.
///
/// # Errors
/// [`SegmentError::ReadBack`].
pub fn compute_stages(
    segmenter: &Segmenter,
    image: &RgbImage,
    prompt: &TokenizedPrompt,
) -> Result<BTreeMap<String, TensorData>, SegmentError> {
    let pixels = segmenter.pixels(image);
    let (state, segmented) = segmenter.forward_plain(pixels.clone(), prompt);
    let logits = segmenter.model.language_model.logits(state.hidden.clone()); // [1, t, v]
    let best = logits.clone().argmax(2).try_into_data(); // [1, t, 1]
    let best: Vec<i32> = best.map_err(|error| segmenter.read_back(error))?.iter().collect();
    let ids: Vec<i32> = prompt.input_ids.iter().map(|&id| id as i32).collect();
    let labels = prompt.labels.iter().map(|&id| id as i32).collect();
    let length = ids.len();

    let mut stages = BTreeMap::from([
        array("pred_ids", predicted_ids(segmenter, &ids, &best), [length]),
        array("argmax_ids", best, [1, length]),
        array("input_ids", ids, [1, length]),
        array("labels", labels, [1, length]),
    ]);
    let size = segmenter.config.mask_size();
    let masks = match segmented {
        Some(segmented) => floats(segmenter, segmented.masks)?,
        None => TensorData::new(Vec::<f32>::new(), [0, size, size]),
    };
    let computed = [
        ("pixel_values", floats(segmenter, pixels)?),
        ("vit_feature", floats(segmenter, state.image_tokens)?),
        ("projected", floats(segmenter, state.projected)?),
        ("last_hidden_state", floats(segmenter, state.hidden)?),
        ("logits", floats(segmenter, logits)?),
        ("masks", masks),
    ];
    stages.extend(computed.map(|(name, stage)| (name.to_string(), stage)));
    Ok(stages)
}

fn array<E: Element, const D: usize>(
    name: &str,
    values: Vec<E>,
    shape: [usize; D],
) -> (String, TensorData) {
    (name.to_string(), TensorData::new(values, shape))
}

fn floats<const D: usize>(segmenter: &Segmenter, x: Tensor<D>) -> Result<TensorData, SegmentError> {
    x.cast(DType::F32).try_into_data().map_err(|error| segmenter.read_back(error))
}

/// The ids with each `[SEG]` and `[REJ]` as the model decides it: `[REJ]` where the arg-max one position
/// earlier is `[REJ]`, else `[SEG]`.
fn predicted_ids(segmenter: &Segmenter, ids: &[i32], best: &[i32]) -> Vec<i32> {
    let (seg, rej) = (segmenter.special.seg as i32, segmenter.special.rej as i32);
    let decide = |(position, &id): (usize, &i32)| match id == seg || id == rej {
        true if position > 0 && best[position - 1] == rej => rej,
        true => seg,
        false => id,
    };
    ids.iter().enumerate().map(decide).collect()
}
