//! Compares what a case computes with its expected values.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use mllmseg::check::compare::{Row, StageTolerances, compare_stages, largest, values};
use mllmseg::device::SelectedDevice;
use mllmseg::model::checkpoint::safetensors::read_safetensors;

use super::dump::Dump;
use crate::case::read_json;

/// How far from the published values a device may be.
#[derive(Debug, Clone, Copy)]
pub struct Tolerances {
    /// The stages of a segmentation.
    pub stages: StageTolerances,
    /// `train_*`, relative to the expected value.
    pub losses: f64,
    /// `grad_norms.json`, relative to the expected norm.
    pub gradients: f64,
    /// `adamw_trajectory`, relative to the expected value.
    pub trajectory: f64,
    /// The stages of a [`transformers`](super::transformers) case, whose values are below 20.
    pub transformers: f64,
}

impl Tolerances {
    /// In f32 on the CPU.
    pub const CPU: Self = Self {
        stages: StageTolerances::CPU,
        losses: 1e-4,
        gradients: 1e-3,
        trajectory: 2e-3,
        transformers: 2e-5,
    };
    /// In f32 on a GPU, whose sums run in another order.
    pub const GPU: Self = Self {
        stages: StageTolerances::GPU,
        losses: 1e-3,
        gradients: 1e-2,
        trajectory: 2e-2,
        transformers: 2e-3,
    };

    /// In f32 on a device.
    pub fn of(device: &SelectedDevice) -> Self {
        if device.id == "cpu" { Self::CPU } else { Self::GPU }
    }
}

/// Compares a dump with `expected.safetensors` of its case, tensor by tensor, as far as the file
/// has them. What training computes is compared relatively: its values have no common scale.
pub fn compare(dump: &Dump, case: &Path, t: Tolerances) -> Result<Vec<Row>, Box<dyn Error>> {
    let file = read_safetensors(&case.join("expected.safetensors"))?;
    let mut rows = compare_stages(&dump.arrays, &file, t.stages);
    let pair = |name: &str| Some((values(file.get(name)?), values(dump.arrays.get(name)?)));
    for name in LOSSES {
        if let Some((expected, found)) = pair(name) {
            let name = format!("{name} (relative)");
            rows.push(Row::new(name, &found, &expected, f64::abs, t.losses));
        }
    }
    if let Some((expected, found)) = pair(TRAJECTORY) {
        rows.extend(trajectory_rows(&found, &expected, t.trajectory));
    }
    rows.extend(grad_norm_row(dump, case, t)?);
    Ok(rows)
}

/// What the first training step computes.
const LOSSES: [&str; 5] =
    ["train_loss", "train_ce_loss", "train_mask_focal_loss", "train_mask_dice_loss", "train_iou"];
/// The tensor of all six steps' losses and gradient norms.
const TRAJECTORY: &str = "adamw_trajectory";
/// Steps of the trajectory that are compared value by value.
const EXACT_STEPS: usize = 2;
/// How many times the tolerance all six steps together may differ: on two machines, the gradient norm
/// of `qwen2`'s sixth step differed by 0.9e-3 and 2.1e-3 of the largest value.
const DRIFT: f64 = 2.5;

/// Each value of the trajectory's first two steps is compared by itself, which pins the update.
/// Later, AdamW turns rounding errors of small gradients into whole steps: two runs of this code
/// on pixels that differ by 1e-7 diverge by up to 15 % in the focal loss, 2 % in Dice and 0.7 % in
/// the sum by the sixth step of `qwen2`. So the whole trajectory is compared on the scale of its
/// largest value.
fn trajectory_rows(found: &[f64], expected: &[f64], tolerance: f64) -> [Row; 2] {
    const WIDTH: usize = 5;
    let exact = (EXACT_STEPS * WIDTH).min(found.len()).min(expected.len());
    let scale = largest(expected.iter().map(|value| value.abs()));
    let start = format!("{TRAJECTORY}[..{EXACT_STEPS}] (relative)");
    let whole = format!("{TRAJECTORY} (of largest)");
    [
        Row::new(start, &found[..exact], &expected[..exact], f64::abs, tolerance),
        Row::new(whole, found, expected, |_| scale, DRIFT * tolerance),
    ]
}

/// Norms below this are compared on this scale. They are a hundred-thousandth of the whole
/// gradient's norm (11 and 17 in the two cases) and sums of terms that nearly cancel: pixels that
/// differ by 1e-7 change the smallest by up to 7.5e-4 of their value.
const GRADIENT_FLOOR: f64 = 1e-4;

/// One row for all norms of gradients: the worst, by name.
fn grad_norm_row(dump: &Dump, case: &Path, t: Tolerances) -> Result<Option<Row>, String> {
    let path = case.join("grad_norms.json");
    if dump.grad_norms.is_empty() || !path.exists() {
        return Ok(None);
    }
    let expected: BTreeMap<String, f64> = read_json(&path, "norms by name")?;
    let found = &dump.grad_norms;
    let distance = |name: &String, expected: f64| match found.get(name) {
        Some(norm) => (norm - expected).abs() / expected.max(GRADIENT_FLOOR),
        None => f64::INFINITY,
    };
    let unknown = found.keys().find(|name| !expected.contains_key(*name));
    let unknown = unknown.map(|_| f64::INFINITY);
    let distances = expected.iter().map(|(name, &norm)| distance(name, norm));
    let difference = largest(distances.chain(unknown));
    Ok(Some(Row {
        name: "grad_norms (relative)".to_string(),
        difference,
        tolerance: t.gradients,
        largest: largest(expected.values().copied()),
    }))
}
