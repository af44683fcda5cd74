//! Compares computed with expected values.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::path::Path;

use burn::tensor::TensorData;
use mllmseg::model::checkpoint::safetensors::read_safetensors;

use super::dump::Dump;
use crate::case::read_json;

/// One compared tensor.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its name in `expected.safetensors`.
    pub name: String,
    /// The largest absolute difference, relative to the expected value where the name says so;
    /// infinite when shapes differ.
    pub difference: f64,
    /// The largest difference that passes.
    pub tolerance: f64,
    /// The largest absolute expected value, for scale.
    pub largest: f64,
}

impl Row {
    /// The largest difference in units of `scale(expected)`; infinite when lengths differ.
    fn new(
        name: String,
        found: &[f64],
        expected: &[f64],
        scale: impl Fn(f64) -> f64,
        tolerance: f64,
    ) -> Self {
        let pairs = found.iter().zip(expected);
        let difference = match found.len() == expected.len() {
            true => largest(pairs.map(|(a, b)| (a - b).abs() / scale(*b))),
            false => f64::INFINITY,
        };
        let largest = largest(expected.iter().map(|value| value.abs()));
        Self { name, difference, tolerance, largest }
    }

    /// Whether the difference is within tolerance; NaN is not.
    pub fn passes(&self) -> bool {
        self.difference <= self.tolerance
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passes() { "ok" } else { "PAST TOLERANCE" };
        let Row { name, difference, tolerance, largest } = self;
        write!(f, "{name:<32} {difference:>12.3e} {tolerance:>10.1e} {largest:>12.4}  {verdict}")
    }
}

/// How far from the published values a device may be.
#[derive(Debug, Clone, Copy)]
pub struct Tolerances {
    /// `vit_feature` and `projected`.
    pub features: f64,
    /// `last_hidden_state` and `logits`.
    pub states: f64,
    /// `masks`.
    pub masks: f64,
    /// `train_*`, relative to the expected value.
    pub losses: f64,
    /// `grad_norms.json`, relative to the expected norm.
    pub gradients: f64,
    /// `adamw_trajectory`, relative to the expected value.
    pub trajectory: f64,
}

impl Tolerances {
    /// In f32 on the CPU.
    pub const CPU: Self = Self {
        features: 2e-3,
        states: 5e-3,
        masks: 1e-3,
        losses: 1e-4,
        gradients: 1e-3,
        trajectory: 2e-3,
    };
    /// In f32 on a GPU, whose sums run in another order.
    pub const GPU: Self = Self {
        features: 1e-2,
        states: 1e-2,
        masks: 1e-2,
        losses: 1e-3,
        gradients: 1e-2,
        trajectory: 2e-2,
    };
}

/// Which part of a computed tensor the file has.
enum Sampled {
    /// Every so-many-th index of these dimensions.
    Every(&'static [usize], usize),
    /// The last indices of dimension 1, as many as expected.
    Tail,
}

const WHOLE: Sampled = Sampled::Every(&[], 1);

impl Sampled {
    /// The values of that part.
    fn values(&self, array: &TensorData, expected: &[usize]) -> Vec<f64> {
        let shape = array.shape();
        let index = |flat: usize, dim: usize| {
            flat / shape[dim + 1..].iter().product::<usize>() % shape[dim]
        };
        let keeps = |flat: usize| match *self {
            Self::Every(dims, step) => dims.iter().all(|&dim| index(flat, dim) % step == 0),
            Self::Tail => index(flat, 1) + expected.get(1).copied().unwrap_or(0) >= shape[1],
        };
        let kept = array.iter::<f64>().enumerate().filter(|(flat, _)| keeps(*flat));
        kept.map(|(_, value)| value).collect()
    }
}

/// (name in the file, name in the dump, part, tolerance)
type Comparison = (&'static str, &'static str, Sampled, f64);

fn comparisons(t: Tolerances) -> [Comparison; 14] {
    use Sampled::{Every, Tail};
    // One grey level is 1 / 255 / 0.224 after normalisation; the file holds f16.
    const ONE_GREY_LEVEL: f64 = 0.0176 + 0.002;
    let loss = |name| (name, name, WHOLE, t.losses);
    [
        ("input_ids", "input_ids", WHOLE, 0.0),
        ("labels", "labels", WHOLE, 0.0),
        ("pred_ids", "pred_ids", WHOLE, 0.0),
        ("pixel_values", "pixel_values", Every(&[2, 3], 16), ONE_GREY_LEVEL),
        ("vit_feature", "vit_feature", Every(&[1], 37), t.features),
        ("projected", "projected", Every(&[1], 17), t.features),
        ("last_hidden_state", "last_hidden_state", Every(&[1], 9), t.states),
        ("logits_tail", "logits", Tail, t.states),
        ("masks", "masks", WHOLE, t.masks),
        loss("train_loss"),
        loss("train_ce_loss"),
        loss("train_mask_focal_loss"),
        loss("train_mask_dice_loss"),
        loss("train_iou"),
    ]
}

/// Compares a dump with `expected.safetensors` of its case, tensor by tensor, as far as the file
/// has them. What training computes is compared relatively: its values have no common scale.
pub fn compare(dump: &Dump, case: &Path, t: Tolerances) -> Result<Vec<Row>, Box<dyn Error>> {
    let file = read_safetensors(&case.join("expected.safetensors"))?;
    let pair = |name: &str, ours: &str| Some((file.get(name)?, dump.arrays.get(ours)?));
    let mut rows = Vec::new();
    for (name, ours, sampled, tolerance) in comparisons(t) {
        if let Some((expected, found)) = pair(name, ours) {
            let found = sampled.values(found, expected.shape());
            let expected = values(expected);
            rows.push(match name.starts_with("train_") {
                true => {
                    Row::new(format!("{name} (relative)"), &found, &expected, f64::abs, tolerance)
                }
                false => Row::new(name.to_string(), &found, &expected, |_| 1.0, tolerance),
            });
        }
    }
    if let Some((expected, found)) = pair(TRAJECTORY, TRAJECTORY) {
        rows.extend(trajectory_rows(&values(found), &values(expected), t.trajectory));
    }
    rows.extend(grad_norm_row(dump, case, t)?);
    Ok(rows)
}

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

/// The largest value; NaN wins.
fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |a, b| if a.is_nan() || b <= a { a } else { b })
}

fn values(array: &TensorData) -> Vec<f64> {
    array.iter::<f64>().collect()
}
