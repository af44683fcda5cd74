//! Deterministic weights by parameter name, so that none need to be shipped.
//!
//! [`fill`] draws a tensor from numpy's frozen legacy generator, seeded with `crc32(name) ^ seed`:
//! a checkpoint follows from its list of names and shapes alone. The rule is
//! `tests/oracle/weights.py`; the numbers here equal numpy's bit for bit.

mod checkpoint;
mod error;
mod random_state;

pub use checkpoint::{CheckpointOptions, FloatType, write_checkpoint};
pub use error::WeightsError;

use random_state::RandomState;

/// The values of one tensor, in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub enum Weights {
    /// A parameter or a running statistic.
    F32(Vec<f32>),
    /// A counter (`num_batches_tracked`).
    I64(Vec<i64>),
}

/// The values of the tensor `name` with `shape`, for a case's `seed`.
///
/// The name decides the distribution, so that a model filled this way stays well scaled and every
/// part of it has a visible effect. A name that ends in `num_batches_tracked` gives the scalar 7
/// whatever the shape. The product of `shape` must fit in memory.
pub fn fill(name: &str, shape: &[usize], seed: u32) -> Weights {
    if name.ends_with("num_batches_tracked") {
        return Weights::I64(vec![7]);
    }
    let mut random = RandomState::new(crc32fast::hash(name.as_bytes()) ^ seed);
    let count = shape.iter().product();
    if name.ends_with("running_var") {
        return Weights::F32((0..count).map(|_| random.uniform(0.5, 1.5) as f32).collect());
    }
    let scaled = scaling(name, shape);
    Weights::F32((0..count).map(|_| scaled(random.standard_normal() as f32)).collect())
}

/// What is done to each standard normal draw, already rounded to `f32` as numpy rounds it.
fn scaling(name: &str, shape: &[usize]) -> Box<dyn Fn(f32) -> f32> {
    if name.ends_with("running_mean") {
        Box::new(|z| 0.1 * z)
    } else if name.ends_with(".ls1") || name.ends_with(".ls2") {
        Box::new(|z| 0.3 + 0.1 * z)
    } else if name.ends_with(".bias") || name.ends_with("in_proj_bias") {
        Box::new(|z| 0.02 * z)
    } else if shape.len() == 1 {
        Box::new(|z| 1.0 + 0.1 * z) // the scale of a norm
    } else if name.contains("embed") {
        Box::new(|z| 0.5 * z)
    } else if name.contains("conv2.weight") {
        Box::new(|z| 0.6 * z) // the last 5x5 convolution: wide enough that masks are not flat
    } else if name.contains("offset.weight") {
        Box::new(|z| 0.05 * z) // sampling offsets: large enough that the sampling points move
    } else {
        let fan_in: usize = shape.iter().skip(1).product();
        let root = (fan_in as f64).sqrt() as f32;
        Box::new(move |z| z / root)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use rayon::prelude::*;

    use super::*;

    fn crc32(weights: &Weights) -> u32 {
        let bytes: Vec<u8> = match weights {
            Weights::F32(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Weights::I64(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        };
        crc32fast::hash(&bytes)
    }

    /// Every tensor of both reference cases against numpy (`tests/oracle/weights_oracle.py`).
    #[test]
    fn every_tensor_equals_numpys_bytes() {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests");
        let read = |path: &str| std::fs::read_to_string(tests.join(path)).unwrap();
        let expected: BTreeMap<String, BTreeMap<String, u32>> =
            serde_json::from_str(&read("oracle/weights_crc32.json")).unwrap();
        for (case, crcs) in expected {
            let facts: serde_json::Value =
                serde_json::from_str(&read(&format!("reference/{case}/case.json"))).unwrap();
            let seed = facts["seed"].as_u64().unwrap() as u32;
            let tensors: Vec<(String, Vec<usize>)> =
                serde_json::from_str(&read(&format!("reference/{case}/tensors.json"))).unwrap();
            assert_eq!(tensors.len(), crcs.len());
            tensors.par_iter().for_each(|(name, shape)| {
                assert_eq!(crc32(&fill(name, shape, seed)), crcs[name], "{case}: {name}");
            });
        }
    }
}
