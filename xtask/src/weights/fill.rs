//! The rule by which a tensor's name and shape decide its values.

use burn::tensor::TensorData;

use super::random_state::RandomState;

/// The values of the tensor `name` with `shape`, for a case's `seed`: f32, or an i64 counter.
///
/// The name decides the distribution, so that a model filled this way stays well scaled and every
/// part of it has a visible effect. A name that ends in `num_batches_tracked` gives the scalar 7
/// whatever the shape. The product of `shape` must fit in memory.
pub fn fill(name: &str, shape: &[usize], seed: u32) -> TensorData {
    if name.ends_with("num_batches_tracked") {
        return TensorData::new(vec![7i64], [0usize; 0]);
    }
    let mut random = RandomState::new(crc32fast::hash(name.as_bytes()) ^ seed);
    let count = 0..shape.iter().product();
    let values: Vec<f32> = if name.ends_with("running_var") {
        count.map(|_| (0.5 + random.random_sample()) as f32).collect()
    } else {
        let (shift, factor, divisor) = scaling(name, shape);
        // Rounded to f32 before it is scaled, as numpy does it.
        count.map(|_| shift + factor * random.standard_normal() as f32 / divisor).collect()
    };
    TensorData::new(values, shape.to_vec())
}

/// Shift, factor and divisor of the standard normal draws.
fn scaling(name: &str, shape: &[usize]) -> (f32, f32, f32) {
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    if ends(&["running_mean"]) {
        (0.0, 0.1, 1.0)
    } else if ends(&[".ls1", ".ls2"]) {
        (0.3, 0.1, 1.0)
    } else if ends(&[".bias", "in_proj_bias"]) {
        (0.0, 0.02, 1.0)
    } else if shape.len() == 1 {
        (1.0, 0.1, 1.0) // the scale of a norm
    } else if name.contains("embed") {
        (0.0, 0.5, 1.0)
    } else if name.contains("conv2.weight") {
        (0.0, 0.6, 1.0) // the last 5x5 convolution: wide enough that masks are not flat
    } else if name.contains("offset.weight") {
        (0.0, 0.05, 1.0) // sampling offsets: large enough that the sampling points move
    } else {
        let fan_in: usize = shape.iter().skip(1).product();
        (0.0, 1.0, (fan_in as f64).sqrt() as f32)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use rayon::prelude::*;

    use super::*;

    /// Every tensor of both reference cases against numpy (`tests/oracle/weights_oracle.py`).
    #[test]
    fn every_tensor_equals_numpys_bytes() {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests");
        let oracle = std::fs::read(tests.join("oracle/weights_crc32.json")).unwrap();
        let expected: BTreeMap<String, BTreeMap<String, u32>> =
            serde_json::from_slice(&oracle).unwrap();
        for (name, crcs) in expected {
            let case = tests.join("reference").join(name);
            let seed = crate::case::Case::read(&case).unwrap().seed;
            let tensors = crate::weights::checkpoint::tensor_shapes(&case).unwrap();
            assert_eq!(tensors.len(), crcs.len());
            tensors.par_iter().for_each(|(name, shape)| {
                let values = fill(name, shape, seed);
                assert_eq!(crc32fast::hash(values.as_bytes()), crcs[name], "{case:?}: {name}");
            });
        }
    }
}
