//! SwiGLU: `down(silu(gate(x)) · up(x))`.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::config::LanguageConfig;
use crate::lora::{LoraConfig, LoraLinear};
use crate::memory_efficient::gated_silu;

/// The MLP of a decoder layer. InternLM2 calls the three `w1`, `w3`, `w2`.
#[derive(Module, Debug)]
pub struct FeedForward {
    /// `d -> mlp`
    pub gate: LoraLinear,
    /// `d -> mlp`
    pub up: LoraLinear,
    /// `mlp -> d`
    pub down: LoraLinear,
}

impl FeedForward {
    pub(super) fn new(config: &LanguageConfig, lora: Option<LoraConfig>, device: &Device) -> Self {
        let (width, mlp) = (config.hidden_size, config.intermediate_size);
        let linear = |from, to| LoraLinear::new([from, to], false, lora, device);
        Self { gate: linear(width, mlp), up: linear(width, mlp), down: linear(mlp, width) }
    }

    /// # Shapes
    /// - `x`: `[b, t, d]`, output: the same
    pub(super) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let gate = self.gate.forward(x.clone()); // [b, t, mlp]
        let up = self.up.forward(x); // [b, t, mlp]
        self.down.forward(gated_silu(gate, up)) // [b, t, d]
    }
}
