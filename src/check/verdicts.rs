//! What the stages and their differences from a reference mean.

use std::collections::BTreeMap;

use burn::tensor::{DType, TensorData};
use mllmseg_data::mask::Bitmap;
use mllmseg_data::mask::probability::THRESHOLD;

use super::compare::{Row, largest};
use super::reference::Reference;
use super::report::{Report, Step, Verdict};
use crate::segmenter::Segmenter;

/// The stages in the order of the computation, and what a first difference there speaks for.
const STAGES: [(&str, &str); 9] = [
    ("input_ids", "the tokenizer or the prompt is another"),
    ("pixel_values", "the picture was resized otherwise"),
    ("vit_feature", "the vision encoder has other weights"),
    ("projected", "the projector has other weights"),
    ("last_hidden_state", "the language model has other weights, or its adapters another scale"),
    ("logits", "the output layer has other weights"),
    ("argmax_ids", "the output layer has other weights"),
    ("pred_ids", "the output layer has other weights"),
    ("masks", "the mask decoder has other weights"),
];

/// The tolerances hold for values up to this, as the cases of `tests/reference` have. Published models
/// have larger ones, which are rounded in proportion.
const SCALE: f64 = 100.0;

/// The least overlap of two masks that are the same but for rounding.
const LEAST_IOU: f64 = 0.98;

/// A step for each stage, and one for the masks' overlap.
pub(super) fn judge(
    report: &mut Report,
    segmenter: &Segmenter,
    stages: &BTreeMap<String, TensorData>,
    reference: Option<(&Reference, Vec<Row>)>,
) {
    let is_f32 = segmenter.model.dtype() == DType::F32;
    let mut is_first = true;
    for (name, cause) in STAGES {
        let Some(stage) = stages.get(name).filter(|stage| stage.num_elements() > 0) else {
            continue;
        };
        let row = reference.as_ref().and_then(|(reference, rows)| {
            let row = rows.iter().find(|row| row.name.trim_end_matches("_tail") == name)?;
            Some((row, reference.stages.get(&row.name)?, is_f32 && reference.is_f32()))
        });
        let mut step = finite(name, stage);
        match row {
            Some((row, expected, is_judged)) if step.verdict == Verdict::Ok => {
                differ(&mut step, row, (stage, expected), is_judged || name == "input_ids");
                if step.verdict == Verdict::Failed && is_first {
                    step.detail = format!("{}; the first that differs: {cause}", step.detail);
                    is_first = false;
                }
            }
            None if ["argmax_ids", "pred_ids"].contains(&name) => continue,
            _ => {}
        }
        report.steps.push(step);
    }
    let pair = reference.and_then(|(reference, _)| reference.stages.get("masks"));
    let pair = stages.get("masks").zip(pair);
    if let Some((found, expected)) = pair.filter(|(a, b)| a.shape() == b.shape()) {
        report.steps.extend(overlap(found, expected));
    }
}

/// Whether a stage is finite.
fn finite(name: &str, stage: &TensorData) -> Step {
    let bad = stage.iter::<f64>().filter(|value| !value.is_finite()).count();
    let shape = stage.shape().as_slice();
    let (verdict, detail) = match bad {
        0 => (Verdict::Ok, format!("{shape:?}, finite")),
        _ => {
            let all = stage.num_elements();
            let detail = format!("{bad} of {all} values are NaN or infinite; take --dtype f32");
            (Verdict::Failed, detail)
        }
    };
    let largest = (!name.ends_with("_ids")).then(|| largest(stage.iter::<f64>().map(f64::abs)));
    Step { name: name.into(), verdict, difference: None, tolerance: None, largest, detail }
}

/// The difference from the reference, and whether it passes.
fn differ(
    step: &mut Step,
    row: &Row,
    (found, expected): (&TensorData, &TensorData),
    is_judged: bool,
) {
    let tolerance = row.tolerance * (row.largest / SCALE).max(1.0);
    step.difference = Some(row.difference);
    step.tolerance = Some(tolerance);
    if row.difference <= tolerance {
        return;
    }
    step.verdict = if is_judged { Verdict::Failed } else { Verdict::Warning };
    let shapes = [found, expected].map(|array| array.shape().as_slice().to_vec());
    step.detail = match step.name.ends_with("_ids") {
        _ if row.difference.is_infinite() => format!(
            "{:?}, but the reference has {:?}: it is of another model or conversation",
            shapes[0], shapes[1]
        ),
        true => other_ids(found, expected),
        false => "past tolerance".into(),
    };
    if !is_judged {
        step.detail = format!("{}; not judged: one of the two is not in f32", step.detail);
    }
}

fn other_ids(found: &TensorData, expected: &TensorData) -> String {
    let pairs = found.iter::<i64>().zip(expected.iter::<i64>());
    let others = pairs.enumerate().filter(|(_, (found, expected))| found != expected);
    let others: Vec<_> = others.collect();
    match others.first() {
        Some((position, (found, expected))) => format!(
            "{} ids differ, at position {position} first: expected {expected}, found {found}",
            others.len()
        ),
        None => "ids differ".into(),
    }
}

/// The least overlap of the masks, pair by pair.
fn overlap(found: &TensorData, expected: &TensorData) -> Option<Step> {
    let &[count @ 1..=usize::MAX, height, width] = found.shape().as_slice() else { return None };
    let [found, expected] = [found, expected].map(|masks| {
        masks.iter::<f32>().map(|probability| probability >= THRESHOLD).collect::<Vec<_>>()
    });
    let size = (height * width).max(1);
    let bitmap = |pixels: &[bool]| Bitmap::from_pixels(height, width, pixels.to_vec()).ok();
    let mut least = 1.0f64;
    for (found, expected) in found.chunks(size).zip(expected.chunks(size)) {
        let overlap = bitmap(found)?.overlap(&bitmap(expected)?).ok()?;
        // Two empty masks are the same here, while benchmarks count them as a miss.
        least = if overlap.union == 0 { least } else { least.min(overlap.iou()) };
    }
    Some(Step {
        name: "masks 1 - IoU".into(),
        verdict: if least >= LEAST_IOU { Verdict::Ok } else { Verdict::Failed },
        difference: Some(1.0 - least),
        tolerance: Some(1.0 - LEAST_IOU),
        largest: None,
        detail: format!("{count} masks, the least IoU {least:.4}"),
    })
}
