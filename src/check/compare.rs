//! Compares computed with expected values.

use std::collections::BTreeMap;
use std::fmt;

use burn::tensor::TensorData;

/// One compared tensor.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its name in the reference.
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
    pub fn new(
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

/// How far from the published values the stages of a device may be.
#[derive(Debug, Clone, Copy)]
pub struct StageTolerances {
    /// `vit_feature` and `projected`.
    pub features: f64,
    /// `last_hidden_state` and `logits`.
    pub states: f64,
    /// `masks`.
    pub masks: f64,
}

impl StageTolerances {
    /// In f32 on the CPU.
    pub const CPU: Self = Self { features: 2e-3, states: 5e-3, masks: 1e-3 };
    /// In f32 on a GPU, whose sums run in another order.
    pub const GPU: Self = Self { features: 1e-2, states: 1e-2, masks: 1e-2 };
}

/// Which part of a computed tensor the reference has, unless it has all of it.
enum Sampled {
    /// Every so-many-th index of these dimensions.
    Every(&'static [usize], usize),
    /// The last indices of dimension 1, as many as expected.
    Tail,
}

impl Sampled {
    /// The values of that part.
    fn values(&self, array: &TensorData, expected: &[usize]) -> Vec<f64> {
        let shape = array.shape();
        if shape.as_slice() == expected {
            return values(array);
        }
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

/// Compares the stages that both have, in the order of the computation. A reference holds a stage
/// whole, or sampled as those of `tests/reference` are.
pub fn compare_stages(
    found: &BTreeMap<String, TensorData>,
    expected: &BTreeMap<String, TensorData>,
    t: StageTolerances,
) -> Vec<Row> {
    use Sampled::{Every, Tail};
    const WHOLE: Sampled = Every(&[], 1);
    // One grey level is 1 / 255 / 0.224 after normalisation; a file may hold f16.
    const ONE_GREY_LEVEL: f64 = 0.0176 + 0.002;
    // (name in the reference, name of the stage, part, tolerance)
    let comparisons = [
        ("input_ids", "input_ids", WHOLE, 0.0),
        ("labels", "labels", WHOLE, 0.0),
        ("pixel_values", "pixel_values", Every(&[2, 3], 16), ONE_GREY_LEVEL),
        ("vit_feature", "vit_feature", Every(&[1], 37), t.features),
        ("projected", "projected", Every(&[1], 17), t.features),
        ("last_hidden_state", "last_hidden_state", Every(&[1], 9), t.states),
        ("logits_tail", "logits", Tail, t.states),
        ("argmax_ids", "argmax_ids", WHOLE, 0.0),
        ("pred_ids", "pred_ids", WHOLE, 0.0),
        ("masks", "masks", WHOLE, t.masks),
    ];
    let rows = comparisons.into_iter().filter_map(|(name, ours, sampled, tolerance)| {
        let (expected, found) = (expected.get(name)?, found.get(ours)?);
        let found = sampled.values(found, expected.shape());
        Some(Row::new(name.to_string(), &found, &values(expected), |_| 1.0, tolerance))
    });
    rows.collect()
}

/// The largest value; NaN wins.
pub fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |a, b| if a.is_nan() || b <= a { a } else { b })
}

/// The values of an array.
pub fn values(array: &TensorData) -> Vec<f64> {
    array.iter::<f64>().collect()
}
