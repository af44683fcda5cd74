//! Muon's update of a matrix: its momentum with all singular values brought to one.
//!
//! Adam moves a matrix mostly along the few directions that most gradients share. Rare kinds of
//! examples have small singular values in the gradient, so Adam learns them late; Muon moves the
//! matrix equally in all directions. Source: <https://kellerjordan.github.io/posts/muon/>. The scale is
//! that of Moonlight, arXiv:2502.16982, Eq. 4, with which AdamW's learning rates fit.

use std::collections::HashMap;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor};
use mllmseg_model::checkpoint::named_weights::for_each_weight;
use rayon::prelude::*;

/// How much of the momentum is kept in each step.
const MOMENTUM: f64 = 0.95;
/// Coefficients of the quintic; iterated, it brings singular values to between 0.7 and 1.2.
const QUINTIC: [f64; 3] = [3.4445, -4.7750, 2.0315];
/// Iterations.
const ITERATIONS: usize = 5;
/// Root mean square of AdamW's updates, as Moonlight measured it.
const RMS: f64 = 0.2;

/// The update of one matrix; both `[elements]`.
pub(super) struct MuonUpdate {
    pub momentum: Tensor<1>,
    pub direction: Tensor<1>,
}

/// The updates of all matrices that have a gradient, by path; computed side by side, since each of
/// them is too small for all cores of a CPU. `momentum` is that of the last step.
pub(super) fn updates(
    module: &impl Module,
    gradients: &GradientsParams,
    scale: f64,
    momentum: impl Fn(&str) -> Option<Tensor<1>> + Sync,
) -> HashMap<String, MuonUpdate> {
    let mut matrices = Vec::new();
    for_each_weight(module, |path, weight| {
        if let &[rows, columns] = weight.shape().as_slice()
            && is_for(path)
            && let Some(gradient) = weight.gradient(gradients)
        {
            matrices.push((path.to_string(), [rows, columns], gradient));
        }
    });
    let update = |(path, shape, gradient): (String, [usize; 2], Tensor<1>)| {
        let gradient = gradient.cast(DType::F32) * scale;
        let momentum = match momentum(&path) {
            Some(momentum) => momentum * MOMENTUM + gradient.clone(),
            None => gradient.clone(),
        };
        let nesterov = gradient + momentum.clone() * MOMENTUM;
        let direction = direction(nesterov.reshape(shape)).reshape([-1]);
        (path, MuonUpdate { momentum, direction })
    };
    matrices.into_par_iter().map(update).collect()
}

/// About `U Vᵀ` of the momentum's decomposition `U S Vᵀ`, scaled to the size of AdamW's updates.
///
/// # Shapes
/// - `momentum`: `[m, n]`, output: the same
fn direction(momentum: Tensor<2>) -> Tensor<2> {
    let [rows, columns] = momentum.dims();
    let wide = match rows > columns {
        true => momentum.transpose(),
        false => momentum,
    };
    let norm = wide.clone().square().sum().sqrt() + 1e-7; // [1]
    let mut x = wide / norm.unsqueeze(); // [least, most]
    let [a, b, c] = QUINTIC;
    for _ in 0..ITERATIONS {
        let gram = x.clone().matmul(x.clone().transpose()); // [least, least]
        let polynomial = gram.clone() * b + gram.clone().matmul(gram) * c;
        x = x.clone() * a + polynomial.matmul(x);
    }
    let x = match rows > columns {
        true => x.transpose(),
        false => x,
    };
    x * (RMS * (rows.max(columns) as f64).sqrt())
}

/// Whether Muon updates the matrix at a path: those between hidden states, neither the table of
/// tokens nor the output layer.
fn is_for(path: &str) -> bool {
    !path.contains("embed_tokens") && !path.contains("lm_head")
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Distribution;

    /// The rows of a wide direction, and the columns of a tall one, are nearly orthogonal and of one
    /// length, however different the singular values were.
    #[test]
    fn directions_are_nearly_orthogonal() {
        let device = crate::test_device();
        for shape in [[6, 40], [40, 6]] {
            let random = Tensor::<2>::random(shape, Distribution::Normal(0.0, 1.0), &device);
            let scale: Vec<f32> = (0..6).map(|i| 3f32.powi(-i)).collect();
            let scale = Tensor::<1>::from_floats(scale.as_slice(), &device);
            let momentum = match shape[0] {
                6 => random * scale.unsqueeze_dim(1),
                _ => random * scale.unsqueeze(),
            };
            let found = direction(momentum) / (RMS * 40f64.sqrt());
            let gram = match shape[0] {
                6 => found.clone().matmul(found.transpose()),
                _ => found.clone().transpose().matmul(found),
            };
            for (at, value) in gram.into_data().iter::<f32>().enumerate() {
                let (row, column) = (at / 6, at % 6);
                match row == column {
                    true => assert!((0.35..1.6).contains(&value), "{value} on the diagonal"),
                    false => assert!(value.abs() < 0.5, "{value} beside the diagonal"),
                }
            }
        }
    }

    #[test]
    fn tables_of_tokens_are_left_to_adamw() {
        assert!(is_for("language_model.layers.0.feed_forward.up.weight"));
        assert!(!is_for("language_model.embed_tokens.weight"));
        assert!(!is_for("language_model.lm_head.weight"));
    }
}
