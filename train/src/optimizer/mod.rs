//! AdamW with decoupled weight decay, step by step PyTorch's.
//!
//! Burn's own AdamW corrects the bias in f32 (an error of 3e-5 in the first steps), keeps its state
//! by identifiers that are drawn anew at each load, and has no f32 copy of bf16 weights. Here the
//! factors are f64, the state goes by the names of the checkpoint ([`state`]), and weights in half
//! precision have an f32 master. On request, matrices move as Muon moves them ([`MatrixRule`]).

mod muon;
pub mod state;

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

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
    /// How matrices move.
    pub matrices: MatrixRule,
}

/// How the matrices between hidden states move; everything else is AdamW's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MatrixRule {
    /// As everything else: the published recipe.
    #[default]
    AdamW,
    /// By their orthogonalised momentum: a model from nothing learns in fewer steps what only few
    /// examples ask for.
    Muon,
}

impl Default for AdamWConfig {
    /// The published recipe.
    fn default() -> Self {
        let matrices = MatrixRule::AdamW;
        Self { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8, weight_decay: 0.05, matrices }
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
    /// Running mean of squared gradients, `[elements]`; zeros where Muon moves the weight.
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
        let turns = match self.config.matrices {
            MatrixRule::AdamW => HashMap::new(),
            MatrixRule::Muon => self.turns(&module, &gradients, gradient_scale),
        };
        module.map(&mut Update {
            optimizer: self,
            learning_rate,
            gradients,
            gradient_scale,
            turns,
            path: ModulePath::default(),
        })
    }

    /// What Muon does to every matrix that has a gradient, by path; the matrices side by side, since
    /// each of them is too small for all cores of a CPU.
    fn turns<M: Module>(
        &self,
        module: &M,
        gradients: &GradientsParams,
        scale: f64,
    ) -> HashMap<String, Turn> {
        let mut matrices = Matrices { gradients, path: ModulePath::default(), found: Vec::new() };
        module.visit(&mut matrices);
        let turn = |(path, gradient): (String, Tensor<2>)| {
            let shape = gradient.dims();
            let gradient = flat(gradient.cast(DType::F32)) * scale;
            let before = self.moments.get(&path).map(|moments| moments.mean.clone());
            let mean = match before {
                Some(mean) => mean * muon::MOMENTUM + gradient.clone(),
                None => gradient.clone(),
            };
            let ahead = gradient + mean.clone() * muon::MOMENTUM; // Nesterov's
            let direction = flat(muon::direction(ahead.reshape(shape)));
            (path, Turn { mean, direction })
        };
        matrices.found.into_par_iter().map(turn).collect()
    }
}

/// What Muon does to one matrix; both flat.
struct Turn {
    /// The new momentum.
    mean: Tensor<1>,
    /// Where the weight goes.
    direction: Tensor<1>,
}

/// The gradients of the matrices that Muon moves.
struct Matrices<'a> {
    gradients: &'a GradientsParams,
    path: ModulePath,
    found: Vec<(String, Tensor<2>)>,
}

impl ModuleVisitor for Matrices<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.path.joined();
        if muon::moves(&path, D)
            && let Some(gradient) = self.gradients.get::<2>(param.id)
        {
            self.found.push((path, gradient));
        }
    }
}

impl AdamWConfig {
    /// One update of one weight, all flat and in f32; by Muon if there is a turn.
    fn update(
        &self,
        learning_rate: f64,
        weight: Tensor<1>,
        gradient: Tensor<1>,
        moments: Option<Moments>,
        turn: Option<Turn>,
    ) -> (Tensor<1>, Moments) {
        let Self { beta_1, beta_2, epsilon, weight_decay, .. } = *self;
        let mut moments = moments.unwrap_or_else(|| Moments {
            step: 0,
            mean: gradient.zeros_like(),
            square: gradient.zeros_like(),
            master: None,
        });
        moments.step += 1;
        let kept = weight * (1.0 - learning_rate * weight_decay);
        if let Some(Turn { mean, direction }) = turn {
            moments.mean = mean;
            return (kept - direction * learning_rate, moments);
        }
        moments.mean = moments.mean * beta_1 + gradient.clone() * (1.0 - beta_1);
        moments.square = moments.square * beta_2 + gradient.square() * (1.0 - beta_2);
        // Means that start at zero are too small at first.
        let correction = |beta: f64| 1.0 - beta.powf(f64::from(moments.step));
        let root = (moments.square.clone() / correction(beta_2)).sqrt() + epsilon;
        let step = moments.mean.clone() / root * (learning_rate / correction(beta_1));
        (kept - step, moments)
    }
}

struct Update<'a> {
    optimizer: &'a mut AdamW,
    learning_rate: f64,
    gradients: GradientsParams,
    gradient_scale: f64,
    turns: HashMap<String, Turn>,
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
        let turn = self.turns.remove(&path);
        let moments_after = &mut self.optimizer.moments;
        param.map(|weight| {
            let (shape, dtype) = (weight.shape(), weight.dtype());
            let weight = weight.inner();
            let exact = master.unwrap_or_else(|| flat(weight.cast(DType::F32)));
            let (updated, mut moments) = config.update(rate, exact, gradient, moments, turn);
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
