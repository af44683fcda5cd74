//! Norms of gradients, and clipping by their global norm.
//!
//! Burn clips tensor by tensor. The published training scales all gradients by one factor, which
//! keeps their direction.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor};
use mllmseg_model::checkpoint::named_weights::for_each_weight;

use crate::step_error::StepError;

/// L2 norms of the gradients of a module.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GradientNorms {
    /// Path in the module and norm, for every weight that has a gradient.
    pub of_weights: Vec<(String, f64)>,
    /// Norm of all gradients as one vector.
    pub total: f64,
}

impl GradientNorms {
    /// Computes the norms; waits for the device.
    pub fn of(module: &impl Module, gradients: &GradientsParams) -> Self {
        let (mut paths, mut sums) = (Vec::new(), Vec::new());
        for_each_weight(module, |path, weight| {
            let Some(gradient) = weight.gradient(gradients) else { return };
            let shape = weight.shape();
            let columns = shape.as_slice().last().copied().unwrap_or(1).max(1);
            let squares = gradient.cast(DType::F32).square();
            let rows = squares.reshape([shape.num_elements() / columns, columns]);
            // Row by row first: one sum over millions of f32 values loses digits.
            sums.push(rows.sum_dim(1).sum());
            paths.push(path.to_string());
        });
        if sums.is_empty() {
            return Self::default();
        }
        // One transfer for all of them.
        let sums: Vec<f64> = Tensor::cat(sums, 0).into_data().iter::<f64>().collect();
        Self {
            total: sums.iter().sum::<f64>().sqrt(),
            of_weights: paths.into_iter().zip(sums.into_iter().map(f64::sqrt)).collect(),
        }
    }

    /// Refuses gradients that hold NaN or infinite values.
    pub(crate) fn check(&self) -> Result<(), StepError> {
        let bad: Vec<_> = self.of_weights.iter().filter(|(_, norm)| !norm.is_finite()).collect();
        bad.first().map_or(Ok(()), |(path, _)| {
            Err(StepError::NonFiniteGradient { count: bad.len(), path: path.clone() })
        })
    }

    /// The factor that brings the total norm down to `max_norm`, at most 1; as PyTorch's
    /// `clip_grad_norm_`.
    pub fn clip_factor(&self, max_norm: f64) -> f64 {
        (max_norm / (self.total + 1e-6)).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn norms(total: f64) -> GradientNorms {
        GradientNorms { of_weights: vec![("a".into(), total), ("b".into(), f64::NAN)], total }
    }

    #[test]
    fn small_gradients_are_left_alone_and_large_ones_scaled() {
        assert_eq!(norms(0.5).clip_factor(1.0), 1.0);
        assert_eq!(norms(4.0 - 1e-6).clip_factor(1.0), 0.25);
    }

    #[test]
    fn broken_gradients_are_named() {
        let error = StepError::NonFiniteGradient { count: 1, path: "b".into() };
        assert_eq!(norms(1.0).check(), Err(error));
    }
}
