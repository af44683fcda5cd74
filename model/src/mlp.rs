//! The two-layer MLP of the vision encoder and of `mlp1`.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

use crate::cpu::{Activation, apply};

/// Linear, GELU (erf), Linear.
#[derive(Module, Debug)]
pub struct Mlp {
    fc1: Linear,
    fc2: Linear,
}

impl Mlp {
    pub(crate) fn new([input, hidden, output]: [usize; 3], device: &Device) -> Self {
        let [fc1, fc2] = [[input, hidden], [hidden, output]]
            .map(|[from, to]| LinearConfig::new(from, to).init(device));
        Self { fc1, fc2 }
    }

    /// # Shapes
    /// - `x`: `[b, t, input]`, output: `[b, t, output]`
    pub(crate) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        apply(&self.fc2, apply(&self.fc1, x, Activation::Gelu), Activation::Identity)
    }
}
