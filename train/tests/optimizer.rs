//! AdamW and clipping against PyTorch's formulas (tests/oracle/adamw.py), and the optimizer state.

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor, TensorData};
use mllmseg_model::checkpoint::names::NameTable;
use mllmseg_model::{Mllmseg, Preset};
use mllmseg_train::gradients::GradientNorms;
use mllmseg_train::optimizer::MatrixOptimizer;
use mllmseg_train::optimizer::state::{SavedState, StateError};
use mllmseg_train::{AdamW, OptimizerConfig, TrainableSet, TrainingMode};
use serde::Deserialize;

/// The CPU, whichever other devices are built in.
fn cpu() -> Device {
    Device::flex()
}

#[derive(Module, Debug)]
struct Weights {
    matrix: Param<Tensor<2>>,
    vector: Param<Tensor<1>>,
}

#[derive(Deserialize)]
struct Case {
    max_norm: f64,
    start: Values,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    learning_rate: f64,
    gradients: Values,
    norm: f64,
    coefficient: f64,
    weights: Values,
}

#[derive(Deserialize)]
struct Values {
    matrix: Vec<f32>,
    vector: Vec<f32>,
}

impl Values {
    fn tensors(&self, device: &Device) -> (Tensor<2>, Tensor<1>) {
        let matrix = TensorData::new(self.matrix.clone(), [2, 2]);
        let vector = TensorData::new(self.vector.clone(), [3]);
        (Tensor::from_data(matrix, device), Tensor::from_data(vector, device))
    }

    /// As weights on a device that differentiates.
    fn weights(&self) -> Weights {
        let (matrix, vector) = self.tensors(&cpu().autodiff());
        Weights { matrix: Param::from_tensor(matrix), vector: Param::from_tensor(vector) }
    }

    /// As gradients of weights.
    fn gradients(&self, weights: &Weights) -> GradientsParams {
        let (matrix, vector) = self.tensors(&cpu());
        let mut gradients = GradientsParams::new();
        gradients.register(weights.matrix.id, matrix);
        gradients.register(weights.vector.id, vector);
        gradients
    }
}

fn assert_close<const D: usize>(found: Tensor<D>, expected: &[f32], step: usize) {
    let found: Vec<f32> = found.into_data().iter().collect();
    for (found, expected) in found.iter().zip(expected) {
        let error = (found - expected).abs();
        assert!(error <= 1e-6, "step {step}: {found} is not {expected}");
    }
}

#[test]
fn six_clipped_steps_are_pytorchs() {
    let case = include_str!("../../tests/oracle/adamw.json");
    let case: Case = serde_json::from_str(case).unwrap();
    let mut weights = case.start.weights();
    let mut optimizer = AdamW::new(OptimizerConfig::default());
    for (index, step) in case.steps.iter().enumerate() {
        let gradients = step.gradients.gradients(&weights);
        let norms = GradientNorms::of(&weights, &gradients);
        assert!((norms.total - step.norm).abs() <= 1e-6 * step.norm);
        let factor = norms.clip_factor(case.max_norm);
        assert!((factor - step.coefficient).abs() <= 1e-6);
        weights = optimizer.step(step.learning_rate, weights, gradients, factor);
        assert_close(weights.matrix.val(), &step.weights.matrix, index);
        assert_close(weights.vector.val(), &step.weights.vector, index);
        assert!(weights.matrix.val().is_require_grad());
    }
}

#[test]
fn a_weight_without_gradient_does_not_even_decay() {
    let values = Values { matrix: vec![1.0, 2.0, 3.0, 4.0], vector: vec![5.0, 6.0, 7.0] };
    let weights = values.weights();
    let mut gradients = GradientsParams::new();
    gradients.register(weights.matrix.id, values.tensors(&cpu()).0);
    let weights = AdamW::new(OptimizerConfig::default()).step(0.1, weights, gradients, 1.0);
    assert_close(weights.vector.val(), &values.vector, 0);
    // 1 - 0.1 · 0.05 - 0.1 · 1 / (1 + 1e-8) for the first.
    let first: Vec<f32> = weights.matrix.val().into_data().iter().collect();
    assert!((first[0] - 0.895).abs() < 1e-6, "{first:?}");
}

/// Steps of 1e-4 are a fortieth of what bf16 can tell apart at 1: without an f32 copy nothing
/// would ever move. Decay off, 100 steps of a constant gradient lead to 1 - 100 · 1e-4 = 0.99.
#[test]
fn half_precision_weights_have_an_f32_master() {
    let plain = cpu();
    let device = plain.clone().autodiff();
    let ones = |device: &Device| Tensor::<1>::ones([3], (device, DType::BF16));
    let mut weights = Weights {
        matrix: Param::from_tensor(Tensor::ones([2, 2], (&device, DType::BF16))),
        vector: Param::from_tensor(ones(&device)),
    };
    let config = OptimizerConfig { weight_decay: 0.0, ..OptimizerConfig::default() };
    let mut optimizer = AdamW::new(config);
    for _ in 0..100 {
        let mut gradients = GradientsParams::new();
        gradients.register(weights.vector.id, ones(&plain));
        weights = optimizer.step(1e-4, weights, gradients, 1.0);
    }
    let vector = weights.vector.val();
    assert_eq!(vector.dtype(), DType::BF16);
    let found: Vec<f32> = vector.cast(DType::F32).into_data().iter().collect();
    // bf16 has steps of 2^-8 below 1.
    assert!(found.iter().all(|x| (x - 0.99).abs() <= 2f32.powi(-9)), "{found:?}");
}

fn muon() -> OptimizerConfig {
    OptimizerConfig { matrix_optimizer: MatrixOptimizer::Muon, ..OptimizerConfig::default() }
}

/// One step from zero at rate 0.1: both singular values of the matrix, 3 and 0.3, move it by about
/// 0.1 · 0.2 · √2, and AdamW moves the vector by 0.1.
#[test]
fn muon_updates_matrices_and_adamw_the_rest() {
    let zeros = Values { matrix: vec![0.0; 4], vector: vec![0.0; 3] };
    let weights = zeros.weights();
    let gradient = Values { matrix: vec![3.0, 0.0, 0.0, 0.3], vector: vec![1.0, 2.0, 3.0] };
    let gradients = gradient.gradients(&weights);
    let config = OptimizerConfig { weight_decay: 0.0, ..muon() };
    let weights = AdamW::new(config).step(0.1, weights, gradients, 1.0);
    assert_close(weights.vector.val(), &[-0.1; 3], 0);
    let moved: Vec<f32> = weights.matrix.val().into_data().iter().collect();
    let expected = -0.1 * 0.2 * 2f32.sqrt();
    for value in [moved[0], moved[3]] {
        assert!((0.6..1.3).contains(&(value / expected)), "{moved:?}");
    }
    assert!(moved[1].abs() + moved[2].abs() < 1e-6, "{moved:?}");
}

/// A tiny model, ready for training, and the names of its weights.
fn tiny() -> (Mllmseg, NameTable) {
    let config = Preset::Tiny.config();
    let model = Mllmseg::new(&config, None, &cpu());
    (
        TrainableSet::LoraAndDecoder
            .prepare(model, TrainingMode { dropout: true, ..TrainingMode::AS_EVALUATION }),
        NameTable::new(&config, false),
    )
}

/// Made-up gradients of a matrix, a convolution and a norm.
fn gradients_of(model: &Mllmseg, seed: f64) -> GradientsParams {
    let (matrix, head) = (&model.mask_decoder.text_down.weight, &model.mask_decoder.head);
    let mut gradients = GradientsParams::new();
    gradients.register(matrix.id, (matrix.val().inner() * seed).sin());
    let conv = &head.conv2.weight;
    gradients.register(conv.id, conv.val().inner().ones_like() * seed);
    gradients.register(head.norm.gamma.id, head.norm.gamma.val().inner().ones_like() * -seed);
    gradients
}

fn weights(model: &Mllmseg) -> [TensorData; 2] {
    let decoder = &model.mask_decoder;
    [decoder.text_down.weight.val().into_data(), decoder.head.conv2.weight.val().into_data()]
}

#[test]
fn a_restored_optimizer_continues_as_the_saved_one() {
    let (model, table) = tiny();
    for constants in [OptimizerConfig::default(), muon()] {
        let mut first = AdamW::new(constants);
        let once = first.step(1e-2, model.clone(), gradients_of(&model, 30.0), 1.0);
        let saved = first.save(&table).unwrap();
        let names: Vec<_> = saved.updates.keys().map(String::as_str).collect();
        let trained = ["conv1.1.weight", "conv2.weight", "text_down.weight"];
        assert_eq!(names, trained.map(|name| format!("res_decoder.{name}")));
        let mut second = AdamW::new(constants).restore(saved, &once, &table).unwrap();
        let step = |optimizer: &mut AdamW| {
            weights(&optimizer.step(1e-2, once.clone(), gradients_of(&once, 70.0), 1.0))
        };
        let (a, b, fresh) = (step(&mut first), step(&mut second), step(&mut AdamW::new(constants)));
        a.iter().zip(&b).for_each(|(a, b)| a.assert_eq(b, true));
        assert_ne!(a[0], fresh[0], "the state matters");
        assert_eq!(first.save(&table), second.save(&table));
    }
}

/// Version 0.1.0 wrote other names for the moments.
#[test]
fn a_state_of_0_1_0_is_read() {
    let (model, table) = tiny();
    let mut optimizer = AdamW::new(OptimizerConfig::default());
    let model = optimizer.step(1e-2, model.clone(), gradients_of(&model, 1.0), 1.0);
    let saved = optimizer.save(&table).unwrap();
    let renamed = |(name, data): (&String, &TensorData)| {
        let name = name.replace(".exp_avg_sq", ".square").replace(".exp_avg", ".mean");
        (name, data.clone())
    };
    let old = SavedState { arrays: saved.arrays.iter().map(renamed).collect(), ..saved.clone() };
    assert_ne!(old, saved);
    let restored = AdamW::new(OptimizerConfig::default()).restore(old, &model, &table).unwrap();
    assert_eq!(restored.save(&table).unwrap(), saved);
}

#[test]
fn a_state_of_another_model_is_refused() {
    let (model, table) = tiny();
    let mut optimizer = AdamW::new(OptimizerConfig::default());
    let model = optimizer.step(1e-2, model.clone(), gradients_of(&model, 1.0), 1.0);
    let saved = optimizer.save(&table).unwrap();
    let restore = |saved: SavedState| {
        AdamW::new(OptimizerConfig::default()).restore(saved, &model, &table).err().unwrap()
    };
    // The state of one weight under the name of another.
    let renamed = |name: &str| {
        let mut one = SavedState::default();
        one.updates.insert(name.to_string(), 1);
        for kind in ["exp_avg", "exp_avg_sq"] {
            let data = saved.arrays[&format!("res_decoder.conv2.weight.{kind}")].clone();
            one.arrays.insert(format!("{name}.{kind}"), data);
        }
        one
    };
    let name = "res_decoder.conv9.weight".to_string();
    assert_eq!(restore(renamed(&name)), StateError::Unknown(name));
    let error = restore(renamed("res_decoder.conv2.bias"));
    assert!(matches!(error, StateError::Size { expected: 1, found: 25, .. }), "{error:?}");
    let mut lacking = saved.clone();
    let name = "res_decoder.conv2.weight.exp_avg_sq".to_string();
    lacking.arrays.remove(&name);
    assert_eq!(restore(lacking), StateError::Missing(name));
}
