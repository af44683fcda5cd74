//! Norms of gradients, and clipping by the norm of them all.
//!
//! Burn clips tensor by tensor; the published training scales all gradients by one factor, so that
//! their direction stays.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor};

use crate::trainable::ModulePath;

/// L2 norms of the gradients of a module.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GradientNorms {
    /// Path in the module and norm, for every weight that has a gradient.
    pub of_weights: Vec<(String, f64)>,
    /// Norm of all gradients as one vector.
    pub total: f64,
}

impl GradientNorms {
    /// Measures; waits for the device.
    pub fn of<M: Module>(module: &M, gradients: &GradientsParams) -> Self {
        let mut visitor = SquareSums {
            gradients,
            path: ModulePath::default(),
            paths: Vec::new(),
            sums: Vec::new(),
        };
        module.visit(&mut visitor);
        let SquareSums { paths, sums, .. } = visitor;
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

    /// Paths whose gradient holds an infinity or not-a-number.
    pub fn non_finite(&self) -> impl Iterator<Item = &str> {
        let bad = self.of_weights.iter().filter(|(_, norm)| !norm.is_finite());
        bad.map(|(path, _)| path.as_str())
    }

    /// The factor that brings the total norm down to `max_norm`, at most 1; as PyTorch's
    /// `clip_grad_norm_`.
    pub fn clip_factor(&self, max_norm: f64) -> f64 {
        (max_norm / (self.total + 1e-6)).min(1.0)
    }
}

struct SquareSums<'a> {
    gradients: &'a GradientsParams,
    path: ModulePath,
    paths: Vec<String>,
    sums: Vec<Tensor<1>>,
}

impl ModuleVisitor for SquareSums<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let squares = gradient.cast(DType::F32).square();
            // Row by row first: sums of millions of f32 values in one run lose digits.
            self.sums.push(squares.sum_dim(D - 1).sum());
            self.paths.push(self.path.joined());
        }
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
        assert_eq!(norms(1.0).non_finite().collect::<Vec<_>>(), ["b"]);
    }
}
