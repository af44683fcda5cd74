//! What was computed beside what was expected.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use half::f16;
use safetensors::{Dtype, SafeTensors};

use super::dump::{Array, Dump};
use super::{ParityError, Tolerances, case_error};

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
    /// Whether the difference is within tolerance; not-a-number is not.
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

/// How an expected tensor was thinned out.
enum Sampled {
    /// Every so-many-th index of a dimension.
    Every { dim: usize, step: usize },
    /// Every so-many-th pixel in both directions of a `[1, 3, h, w]` picture.
    EveryPixel { step: usize },
    /// The last indices of dimension 1, as many as expected.
    Tail,
    /// Not at all.
    Whole,
}

/// (name in the file, name in the dump, thinning, tolerance)
fn comparisons(t: Tolerances) -> [(&'static str, &'static str, Sampled, f64); 9] {
    use Sampled::{Every, EveryPixel, Tail, Whole};
    // One grey level is 1 / 255 / 0.224 after normalisation; the file holds f16.
    const ONE_GREY_LEVEL: f64 = 0.0176 + 0.002;
    [
        ("input_ids", "input_ids", Whole, 0.0),
        ("labels", "labels", Whole, 0.0),
        ("pred_ids", "pred_ids", Whole, 0.0),
        ("pixel_values", "pixel_values", EveryPixel { step: 16 }, ONE_GREY_LEVEL),
        ("vit_feature", "vit_feature", Every { dim: 1, step: 37 }, t.features),
        ("projected", "projected", Every { dim: 1, step: 17 }, t.features),
        ("last_hidden_state", "last_hidden_state", Every { dim: 1, step: 9 }, t.states),
        ("logits_tail", "logits", Tail, t.states),
        ("masks", "masks", Whole, t.masks),
    ]
}

/// Compares a dump with `expected.safetensors` of its case, tensor by tensor, as far as the file
/// has them.
pub fn compare(dump: &Dump, case: &Path, t: Tolerances) -> Result<Vec<Row>, ParityError> {
    let path = case.join("expected.safetensors");
    let bytes = std::fs::read(&path).map_err(case_error(&path))?;
    let file = SafeTensors::deserialize(&bytes).map_err(case_error(&path))?;
    let mut rows = Vec::new();
    for (name, ours, sampled, tolerance) in comparisons(t) {
        let Ok(view) = file.tensor(name) else {
            continue;
        };
        let Some(array) = dump.arrays.get(ours) else {
            continue;
        };
        let expected = values(view.dtype(), view.data()).ok_or_else(|| {
            case_error(&path)(format!("{name}: unexpected dtype {:?}", view.dtype()))
        })?;
        let found = thin_out(array, &sampled, view.shape());
        let difference = distance(&found, &expected, |_| 1.0);
        rows.push(row(name.to_string(), difference, tolerance, &expected));
    }
    training_rows(dump, &file, t, &mut rows).map_err(case_error(&path))?;
    rows.extend(grad_norm_row(dump, case, t)?);
    Ok(rows)
}

/// Steps of the trajectory that are compared value by value.
const EXACT_STEPS: usize = 2;
/// How much farther all six steps together may be off: on two machines, the gradient norm of `qwen2`'s
/// sixth step was 0.9e-3 and 2.1e-3 of the largest value away.
const DRIFT: f64 = 2.5;

/// Rows of what training computes, relative: its values have no common scale.
///
/// Each value of the trajectory's first two steps is compared by itself, which pins the update.
/// Later, AdamW turns rounding errors of small gradients into whole steps: two runs of this code
/// on pixels that differ by 1e-7 part by up to 15 % in the focal loss, 2 % in Dice and 0.7 % in
/// the sum by the sixth step of `qwen2`. So the whole trajectory is compared on the scale of its
/// largest value.
fn training_rows(
    dump: &Dump,
    file: &SafeTensors,
    t: Tolerances,
    rows: &mut Vec<Row>,
) -> Result<(), String> {
    let losses = [
        "train_loss",
        "train_ce_loss",
        "train_mask_focal_loss",
        "train_mask_dice_loss",
        "train_iou",
    ];
    for name in losses {
        if let Some((found, expected)) = pair(dump, file, name)? {
            let difference = relative(&found, &expected);
            rows.push(row(format!("{name} (relative)"), difference, t.losses, &expected));
        }
    }
    let name = "adamw_trajectory";
    if let Some((found, expected)) = pair(dump, file, name)? {
        let width = 5;
        let exact = (EXACT_STEPS * width).min(found.len()).min(expected.len());
        let difference = relative(&found[..exact], &expected[..exact]);
        let label = format!("{name}[..{EXACT_STEPS}] (relative)");
        rows.push(row(label, difference, t.trajectory, &expected[..exact]));
        let scale = largest(expected.iter().map(|value| value.abs()));
        let difference = distance(&found, &expected, |_| scale);
        let label = format!("{name} (of largest)");
        rows.push(row(label, difference, DRIFT * t.trajectory, &expected));
    }
    Ok(())
}

/// Found and expected values of a tensor.
type Pair = (Vec<f64>, Vec<f64>);

/// The values of a tensor that both sides have.
fn pair(dump: &Dump, file: &SafeTensors, name: &str) -> Result<Option<Pair>, String> {
    let (Ok(view), Some(array)) = (file.tensor(name), dump.arrays.get(name)) else {
        return Ok(None);
    };
    let expected = values(view.dtype(), view.data())
        .ok_or_else(|| format!("{name}: unexpected dtype {:?}", view.dtype()))?;
    let found = thin_out(array, &Sampled::Whole, view.shape());
    Ok(Some((found, expected)))
}

/// The largest difference in units of `scale(expected)`; infinite when lengths differ.
fn distance(found: &[f64], expected: &[f64], scale: impl Fn(f64) -> f64) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let pairs = found.iter().zip(expected);
    largest(pairs.map(|(a, b)| (a - b).abs() / scale(*b)))
}

fn relative(found: &[f64], expected: &[f64]) -> f64 {
    distance(found, expected, f64::abs)
}

fn row(name: String, difference: f64, tolerance: f64, expected: &[f64]) -> Row {
    let largest = largest(expected.iter().map(|value| value.abs()));
    Row { name, difference, tolerance, largest }
}

/// Norms below this are compared on this scale. They are a hundred-thousandth of the whole
/// gradient's norm (11 and 17 in the two cases) and sums of terms that nearly cancel: pixels that
/// differ by 1e-7 change the smallest by up to 7.5e-4 of their value.
const GRADIENT_FLOOR: f64 = 1e-4;

/// One row for all norms of gradients: the worst, by name.
fn grad_norm_row(dump: &Dump, case: &Path, t: Tolerances) -> Result<Option<Row>, ParityError> {
    let path = case.join("grad_norms.json");
    if dump.grad_norms.is_empty() || !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).map_err(case_error(&path))?;
    let expected: BTreeMap<String, f64> = serde_json::from_str(&text).map_err(case_error(&path))?;
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

/// The largest value; not-a-number wins.
fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |a, b| if a.is_nan() || b <= a { a } else { b })
}

fn values(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f64>> {
    fn each<const N: usize>(bytes: &[u8], of: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        let (chunks, _) = bytes.as_chunks::<N>();
        chunks.iter().map(|chunk| of(*chunk)).collect()
    }
    Some(match dtype {
        Dtype::F32 => each(bytes, |b| f32::from_le_bytes(b) as f64),
        Dtype::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f64()),
        Dtype::I32 => each(bytes, |b| i32::from_le_bytes(b) as f64),
        Dtype::I64 => each(bytes, |b| i64::from_le_bytes(b) as f64),
        Dtype::U8 => bytes.iter().map(|&b| b as f64).collect(),
        _ => return None,
    })
}

fn thin_out(array: &Array, sampled: &Sampled, expected: &[usize]) -> Vec<f64> {
    let shape = array.shape();
    let keeps = |index: &[usize]| match *sampled {
        Sampled::Whole => true,
        Sampled::Every { dim, step } => index[dim].is_multiple_of(step),
        Sampled::EveryPixel { step } => {
            index[2].is_multiple_of(step) && index[3].is_multiple_of(step)
        }
        Sampled::Tail => index[1] + expected.get(1).copied().unwrap_or(0) >= shape[1],
    };
    let mut index = vec![0; shape.len()];
    let mut kept = Vec::new();
    for flat in 0..shape.iter().product::<usize>() {
        let mut rest = flat;
        for dim in (0..shape.len()).rev() {
            index[dim] = rest % shape[dim];
            rest /= shape[dim];
        }
        if keeps(&index) {
            kept.push(match array {
                Array::F32(values, _) => values[flat] as f64,
                Array::I32(values, _) => values[flat] as f64,
            });
        }
    }
    kept
}
