//! AdamW with decoupled weight decay, step by step PyTorch's.
//!
//! Burn's own AdamW corrects the bias in f32 (an error of 3e-5 in the first steps), keeps its state
//! by identifiers that are drawn anew at each load, and has no f32 copy of bf16 weights. Here the
//! factors are f64, the state goes by the names of the checkpoint ([`state`]), and weights in half
//! precision have an f32 master.

pub mod state;

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor};

use crate::trainable::ModulePath;

/// The constants of AdamW.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    /// How much of the mean of gradients is kept in each step.
    pub beta_1: f64,
    /// How much of the mean of squared gradients is kept in each step.
    pub beta_2: f64,
    /// Added to the root of the mean of squares.
    pub epsilon: f64,
    /// Share of a weight that decays, per step and unit of learning rate.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    /// The published recipe.
    fn default() -> Self {
        Self { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8, weight_decay: 0.05 }
    }
}

/// AdamW and what it remembers of every weight it has updated.
#[derive(Debug, Clone)]
pub struct AdamW {
    config: AdamWConfig,
    /// By path in the module.
    moments: HashMap<String, Moments>,
}

/// What is remembered of one weight; all in f32, flat in the element order of the module.
#[derive(Debug, Clone)]
struct Moments {
    /// Updates so far.
    step: u32,
    /// Running mean of gradients, `[elements]`.
    mean: Tensor<1>,
    /// Running mean of squared gradients, `[elements]`.
    square: Tensor<1>,
    /// The weight in f32 when the model holds it in fewer bits, `[elements]`.
    master: Option<Tensor<1>>,
}

impl AdamW {
    /// An optimizer that remembers nothing yet.
    pub fn new(config: AdamWConfig) -> Self {
        Self { config, moments: HashMap::new() }
    }

    /// Its constants.
    pub fn config(&self) -> AdamWConfig {
        self.config
    }

    /// Updates every weight that has a gradient.
    ///
    /// `gradient_scale` multiplies the gradients first: the factor of
    /// [`GradientNorms::clip_factor`](crate::gradients::GradientNorms::clip_factor).
    pub fn step<M: Module>(
        &mut self,
        learning_rate: f64,
        module: M,
        gradients: GradientsParams,
        gradient_scale: f64,
    ) -> M {
        module.map(&mut Update {
            optimizer: self,
            learning_rate,
            gradients,
            gradient_scale,
            path: ModulePath::default(),
        })
    }
}

impl AdamWConfig {
    /// One update of one weight, all flat and in f32.
    fn update(
        &self,
        learning_rate: f64,
        weight: Tensor<1>,
        gradient: Tensor<1>,
        moments: Option<Moments>,
    ) -> (Tensor<1>, Moments) {
        let Self { beta_1, beta_2, epsilon, weight_decay } = *self;
        let mut moments = moments.unwrap_or_else(|| Moments {
            step: 0,
            mean: gradient.zeros_like(),
            square: gradient.zeros_like(),
            master: None,
        });
        moments.step += 1;
        moments.mean = moments.mean * beta_1 + gradient.clone() * (1.0 - beta_1);
        moments.square = moments.square * beta_2 + gradient.square() * (1.0 - beta_2);
        // Means that start at zero are too small at first.
        let correction = |beta: f64| 1.0 - beta.powf(f64::from(moments.step));
        let root = (moments.square.clone() / correction(beta_2)).sqrt() + epsilon;
        let step = moments.mean.clone() / root * (learning_rate / correction(beta_1));
        (weight * (1.0 - learning_rate * weight_decay) - step, moments)
    }
}

struct Update<'a> {
    optimizer: &'a mut AdamW,
    learning_rate: f64,
    gradients: GradientsParams,
    gradient_scale: f64,
    path: ModulePath,
}

impl ModuleMapper for Update<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else {
            return param;
        };
        let path = self.path.joined();
        let config = self.optimizer.config;
        let mut moments = self.optimizer.moments.remove(&path);
        let master = moments.as_mut().and_then(|moments| moments.master.take());
        let gradient = flat(gradient.cast(DType::F32)) * self.gradient_scale;
        let rate = self.learning_rate;
        let moments_after = &mut self.optimizer.moments;
        param.map(|weight| {
            let (shape, dtype) = (weight.shape(), weight.dtype());
            let weight = weight.inner();
            let exact = master.unwrap_or_else(|| flat(weight.cast(DType::F32)));
            let (updated, mut moments) = config.update(rate, exact, gradient, moments);
            moments.master = (dtype != DType::F32).then(|| updated.clone());
            moments_after.insert(path, moments);
            updated.cast(dtype).reshape(shape).autodiff().require_grad()
        })
    }
}

fn flat<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let elements = x.shape().num_elements();
    x.reshape([elements])
}
