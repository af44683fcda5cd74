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
use mllmseg_model::checkpoint::named_weights::{for_each_weight, update_weights};
use rayon::prelude::*;

pub use config::{AdamWConfig, MatrixOptimizer};

/// AdamW and its state.
#[derive(Debug, Clone)]
pub struct AdamW {
    config: AdamWConfig,
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

/// Muon's update of one matrix; both `[elements]`.
struct MuonUpdate {
    momentum: Tensor<1>,
    direction: Tensor<1>,
}

impl AdamW {
    /// An optimizer without state.
    pub fn new(config: AdamWConfig) -> Self {
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
        let mut muon_updates = match self.config.matrix_optimizer {
            MatrixOptimizer::AdamW => HashMap::new(),
            MatrixOptimizer::Muon => self.muon_updates(&module, &gradients, gradient_scale),
        };
        update_weights(
            module,
            |_, weight| weight.take_gradient(&mut gradients),
            |path, gradient, weight| {
                let dtype = weight.dtype();
                let gradient = gradient.cast(DType::F32) * gradient_scale;
                let mut state = self.states.remove(path);
                let master = state.as_mut().and_then(|state| state.master.take());
                let weight = master.unwrap_or_else(|| weight.cast(DType::F32));
                let muon = muon_updates.remove(path);
                let (updated, mut state) =
                    self.config.update(learning_rate, weight, gradient, state, muon);
                state.master = (dtype != DType::F32).then(|| updated.clone());
                self.states.insert(path.to_string(), state);
                updated.cast(dtype)
            },
        )
    }

    /// Muon's updates of all matrices that have a gradient, by path; computed side by side, since
    /// each of them is too small for all cores of a CPU.
    fn muon_updates(
        &self,
        module: &impl Module,
        gradients: &GradientsParams,
        scale: f64,
    ) -> HashMap<String, MuonUpdate> {
        let mut matrices = Vec::new();
        for_each_weight(module, |path, weight| {
            if let &[rows, columns] = weight.shape().as_slice()
                && muon::is_for(path)
                && let Some(gradient) = weight.gradient(gradients)
            {
                matrices.push((path.to_string(), [rows, columns], gradient));
            }
        });
        let update = |(path, shape, gradient): (String, [usize; 2], Tensor<1>)| {
            let gradient = gradient.cast(DType::F32) * scale;
            let momentum = match self.states.get(&path) {
                Some(state) => state.exp_avg.clone() * muon::MOMENTUM + gradient.clone(),
                None => gradient.clone(),
            };
            let nesterov = gradient + momentum.clone() * muon::MOMENTUM;
            let direction = muon::direction(nesterov.reshape(shape)).reshape([-1]);
            (path, MuonUpdate { momentum, direction })
        };
        matrices.into_par_iter().map(update).collect()
    }
}

impl AdamWConfig {
    /// One update of one weight, all flat and in f32; by Muon if there is an update of it.
    fn update(
        &self,
        learning_rate: f64,
        weight: Tensor<1>,
        gradient: Tensor<1>,
        state: Option<WeightState>,
        muon: Option<MuonUpdate>,
    ) -> (Tensor<1>, WeightState) {
        let Self { beta_1, beta_2, epsilon, weight_decay, .. } = *self;
        let mut state = state.unwrap_or_else(|| WeightState {
            step: 0,
            exp_avg: gradient.zeros_like(),
            exp_avg_sq: gradient.zeros_like(),
            master: None,
        });
        state.step += 1;
        let decayed = weight * (1.0 - learning_rate * weight_decay);
        if let Some(MuonUpdate { momentum, direction }) = muon {
            state.exp_avg = momentum;
            return (decayed - direction * learning_rate, state);
        }
        state.exp_avg = state.exp_avg * beta_1 + gradient.clone() * (1.0 - beta_1);
        state.exp_avg_sq = state.exp_avg_sq * beta_2 + gradient.square() * (1.0 - beta_2);
        // Means that start at zero are too small at first.
        let correction = |beta: f64| 1.0 - beta.powf(f64::from(state.step));
        let root = (state.exp_avg_sq.clone() / correction(beta_2)).sqrt() + epsilon;
        let step = state.exp_avg.clone() / root * (learning_rate / correction(beta_1));
        (decayed - step, state)
    }
}
