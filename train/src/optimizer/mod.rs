//! AdamW with decoupled weight decay, equal to PyTorch's at every step.
//!
//! Burn's own AdamW corrects the bias in f32 (an error of 3e-5 in the first steps), keeps its state
//! by identifiers that are drawn again at each load, and has no f32 copy of bf16 weights. Here the
//! factors are f64, the state has the names of the checkpoint ([`state`]), and weights in half
//! precision have an f32 master. A recipe may have matrices updated by Muon ([`MatrixOptimizer`]).

mod config;
mod muon;
pub mod state;

use std::collections::HashMap;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor};
use mllmseg_model::checkpoint::named_weights::update_weights;

pub use config::{MatrixOptimizer, OptimizerConfig};
use muon::MuonUpdate;

/// AdamW and its state.
#[derive(Debug, Clone)]
pub struct AdamW {
    config: OptimizerConfig,
    /// By path in the module, for every weight that was updated.
    states: HashMap<String, WeightState>,
}

/// The optimizer state of one weight; all in f32, flat in the element order of the module.
#[derive(Debug, Clone)]
struct WeightState {
    /// Updates so far.
    step: u32,
    /// First moment, the running mean of gradients; Muon's momentum. `[elements]`
    exp_avg: Tensor<1>,
    /// Second moment, the running mean of squared gradients; zeros with Muon. `[elements]`
    exp_avg_sq: Tensor<1>,
    /// The weight in f32 when the model holds it in fewer bits, `[elements]`.
    master: Option<Tensor<1>>,
}

impl AdamW {
    /// An optimizer without state.
    pub fn new(config: OptimizerConfig) -> Self {
        Self { config, states: HashMap::new() }
    }

    /// Updates every weight that has a gradient.
    ///
    /// `gradient_scale` multiplies the gradients first: the factor of
    /// [`GradientNorms::clip_factor`](crate::gradients::GradientNorms::clip_factor).
    pub fn step<M: Module>(
        &mut self,
        learning_rate: f64,
        module: M,
        mut gradients: GradientsParams,
        gradient_scale: f64,
    ) -> M {
        let momentum = |path: &str| Some(self.states.get(path)?.exp_avg.clone());
        let mut muon_updates = match self.config.matrix_optimizer {
            MatrixOptimizer::AdamW => HashMap::new(),
            MatrixOptimizer::Muon => muon::updates(&module, &gradients, gradient_scale, momentum),
        };
        update_weights(
            module,
            |_, weight| weight.take_gradient(&mut gradients),
            |path, gradient, weight| {
                let dtype = weight.dtype();
                let gradient = gradient.cast(DType::F32) * gradient_scale;
                let state = self.states.remove(path);
                let mut state = state.unwrap_or_else(|| WeightState::new(&gradient));
                let weight = state.master.take().unwrap_or_else(|| weight.cast(DType::F32));
                let decayed = weight * (1.0 - learning_rate * self.config.weight_decay);
                state.step += 1;
                let (mut state, step) = match muon_updates.remove(path) {
                    None => state.adam_step(&self.config, learning_rate, gradient),
                    Some(MuonUpdate { momentum, direction }) => {
                        (WeightState { exp_avg: momentum, ..state }, direction * learning_rate)
                    }
                };
                let updated = decayed - step;
                state.master = (dtype != DType::F32).then(|| updated.clone());
                self.states.insert(path.to_string(), state);
                updated.cast(dtype)
            },
        )
    }
}

impl WeightState {
    /// Of a weight that was never updated.
    fn new(gradient: &Tensor<1>) -> Self {
        let zeros = gradient.zeros_like();
        Self { step: 0, exp_avg: zeros.clone(), exp_avg_sq: zeros, master: None }
    }

    /// The state after an update by Adam, and what it subtracts from the weight, `[elements]`.
    fn adam_step(
        mut self,
        config: &OptimizerConfig,
        learning_rate: f64,
        gradient: Tensor<1>,
    ) -> (Self, Tensor<1>) {
        let OptimizerConfig { beta_1, beta_2, epsilon, .. } = *config;
        self.exp_avg = self.exp_avg * beta_1 + gradient.clone() * (1.0 - beta_1);
        self.exp_avg_sq = self.exp_avg_sq * beta_2 + gradient.square() * (1.0 - beta_2);
        // Means that start at zero are too small at first.
        let correction = |beta: f64| 1.0 - beta.powf(f64::from(self.step));
        let root = (self.exp_avg_sq.clone() / correction(beta_2)).sqrt() + epsilon;
        let step = self.exp_avg.clone() / root * (learning_rate / correction(beta_1));
        (self, step)
    }
}
