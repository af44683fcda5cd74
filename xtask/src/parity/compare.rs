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
        let verdict = if self.passes() {
            "ok"
        } else {
            "PAST TOLERANCE"
        };
        let Row {
            name,
            difference,
            tolerance,
            largest,
        } = self;
        write!(
            f,
            "{name:<28} {difference:>12.3e} {tolerance:>10.1e} {largest:>12.4}  {verdict}"
        )
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
        (
            "pixel_values",
            "pixel_values",
            EveryPixel { step: 16 },
            ONE_GREY_LEVEL,
        ),
        (
            "vit_feature",
            "vit_feature",
            Every { dim: 1, step: 37 },
            t.features,
        ),
        (
            "projected",
            "projected",
            Every { dim: 1, step: 17 },
            t.features,
        ),
        (
            "last_hidden_state",
            "last_hidden_state",
            Every { dim: 1, step: 9 },
            t.states,
        ),
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
        let difference = match found.len() == expected.len() {
            true => largest(found.iter().zip(&expected).map(|(a, b)| (a - b).abs())),
            false => f64::INFINITY,
        };
        let largest = largest(expected.iter().map(|value| value.abs()));
        rows.push(Row {
            name: name.to_string(),
            difference,
            tolerance,
            largest,
        });
    }
    training_rows(dump, &file, t, &mut rows).map_err(case_error(&path))?;
    rows.extend(grad_norm_row(dump, case, t)?);
    Ok(rows)
}

/// Rows of what training computes, relative: losses and norms have no common scale.
fn training_rows(
    dump: &Dump,
    file: &SafeTensors,
    t: Tolerances,
    rows: &mut Vec<Row>,
) -> Result<(), String> {
    let names = [
        ("train_loss", t.losses),
        ("train_ce_loss", t.losses),
        ("train_mask_focal_loss", t.losses),
        ("train_mask_dice_loss", t.losses),
        ("train_iou", t.losses),
        ("adamw_trajectory", t.trajectory),
    ];
    for (name, tolerance) in names {
        let (Ok(view), Some(array)) = (file.tensor(name), dump.arrays.get(name)) else {
            continue;
        };
        let expected = values(view.dtype(), view.data())
            .ok_or_else(|| format!("{name}: unexpected dtype {:?}", view.dtype()))?;
        let found = thin_out(array, &Sampled::Whole, view.shape());
        let difference = match found.len() == expected.len() {
            true => largest(
                found
                    .iter()
                    .zip(&expected)
                    .map(|(a, b)| (a - b).abs() / b.abs()),
            ),
            false => f64::INFINITY,
        };
        rows.push(Row {
            name: format!("{name} (relative)"),
            difference,
            tolerance,
            largest: largest(expected.iter().map(|value| value.abs())),
        });
    }
    Ok(())
}

/// Norms below this share of the largest are compared on its scale. FLOOR_REASON
const GRADIENT_FLOOR: f64 = 1e-6;

/// One row for all norms of gradients: the worst, by name.
fn grad_norm_row(dump: &Dump, case: &Path, t: Tolerances) -> Result<Option<Row>, ParityError> {
    let path = case.join("grad_norms.json");
    if dump.grad_norms.is_empty() || !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).map_err(case_error(&path))?;
    let expected: BTreeMap<String, f64> = serde_json::from_str(&text).map_err(case_error(&path))?;
    let scale = largest(expected.values().copied());
    let found = &dump.grad_norms;
    let distance = |name: &String, expected: f64| match found.get(name) {
        Some(norm) => (norm - expected).abs() / expected.max(GRADIENT_FLOOR * scale),
        None => f64::INFINITY,
    };
    let missing = found.keys().find(|name| !expected.contains_key(*name));
    let distances = expected.iter().map(|(name, &norm)| distance(name, norm));
    let difference = largest(distances.chain(missing.map(|_| f64::INFINITY)));
    Ok(Some(Row {
        name: "grad_norms (relative)".to_string(),
        difference,
        tolerance: t.gradients,
        largest: scale,
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
