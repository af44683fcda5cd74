//! Batch normalisation against PyTorch's `BatchNorm2d`: five steps of two conversations each
//! (`tests/oracle/batch_norm.py`), and one map by the running statistics.

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData, Tolerance};
use mllmseg_model::mask_decoder::batch_norm::BatchNorm;
use serde::Deserialize;

const CHANNELS: usize = 3;
const MAP: [usize; 2] = [4, 5];
const CONVERSATIONS: [usize; 2] = [1, 3];

#[derive(Deserialize)]
struct Expected {
    steps: Vec<Step>,
    /// Of one map, by the running statistics after all steps.
    evaluation: Vec<f32>,
}

#[derive(Deserialize)]
struct Step {
    output: Vec<f32>,
    input_gradient: Vec<f32>,
    gamma_gradient: Vec<f32>,
    beta_gradient: Vec<f32>,
    running_mean: Vec<f32>,
    running_var: Vec<f32>,
    num_batches_tracked: i32,
}

/// The rule of the script.
fn values(count: usize, seed: usize) -> Vec<f32> {
    let seed = seed as f64;
    let value = |i: usize| {
        let wave = (1.7 * seed + 0.61803398875 * i as f64).sin();
        wave * (1.0 + 0.3 * (i % 7) as f64) + 0.2 * seed.cos()
    };
    (0..count).map(|i| ((value(i) * 1e6).round() / 1e6) as f32).collect()
}

/// The maps of both conversations.
fn maps(seed: usize) -> Tensor<4> {
    let parts = CONVERSATIONS.iter().enumerate().map(|(index, n)| {
        let shape = [*n, CHANNELS, MAP[0], MAP[1]];
        let values = values(shape.iter().product(), seed + index);
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    });
    Tensor::cat(parts.collect(), 0)
}

fn close<const D: usize>(found: Tensor<D>, expected: &[f32], what: &str) {
    let expected = TensorData::new(expected.to_vec(), found.dims());
    println!("{what}");
    found.into_data().assert_approx_eq::<f32>(&expected, Tolerance::rel_abs(1e-5, 1e-5));
}

#[test]
fn five_steps_equal_pytorch() {
    let text = include_str!("fixtures/batch_norm.json");
    let expected: Expected = serde_json::from_str(text).unwrap();
    let device = Device::flex();
    let mut norm = BatchNorm::new(CHANNELS, &device);
    let learnt = |values| Param::from_data(values, &device.clone().autodiff());
    norm.gamma = learnt([0.5, 1.5, -1.0]);
    norm.beta = learnt([0.1, -0.2, 0.3]);
    norm.training = norm.training.with_value(true);
    for (index, step) in expected.steps.iter().enumerate() {
        let x = maps(10 * index).autodiff().require_grad();
        let (y, statistics) = norm.forward(x.clone(), &CONVERSATIONS);
        close(y.clone().inner(), &step.output, "output");
        let gradients = (y * maps(10 * index + 5).autodiff()).sum().backward();
        close(x.grad(&gradients).unwrap(), &step.input_gradient, "gradient of the input");
        close(norm.gamma.val().grad(&gradients).unwrap(), &step.gamma_gradient, "of gamma");
        close(norm.beta.val().grad(&gradients).unwrap(), &step.beta_gradient, "of beta");
        norm = norm.updated(&statistics);
        close(norm.running_mean.val(), &step.running_mean, "running mean");
        close(norm.running_var.val(), &step.running_var, "running variance");
        let tracked = norm.num_batches_tracked.val().into_scalar::<i32>();
        assert_eq!(tracked, step.num_batches_tracked);
    }
    let shape = [1, CHANNELS, MAP[0], MAP[1]];
    let x = TensorData::new(values(shape.iter().product(), 99), shape);
    let (y, statistics) = norm.forward(Tensor::from_data(x, &device), &[1]);
    assert!(statistics.is_empty());
    close(y.inner(), &expected.evaluation, "evaluation");
}
