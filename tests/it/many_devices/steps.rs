//! A short training run on one device, and the same on several.

use std::ops::Range;

use burn::tensor::TensorData;
use mllmseg::data::mask::Bitmap;
use mllmseg::data::prompt::NO_LOSS;
use mllmseg::device::{self, DeviceList};
use mllmseg::model::lora::LoraConfig;
use mllmseg::model::{Mllmseg, MllmsegConfig, Preset};
use mllmseg::train::replicas::{NamedDevice, Replicas};
use mllmseg::train::{
    AdamW, HostBatch, OptimizerConfig, TrainExample, TrainStep, TrainableSet, TrainingMode,
};

pub const SEG: u32 = 7;
const IMAGE_START: usize = 3;
pub const STEPS: usize = 5;
pub const SET: TrainableSet = TrainableSet::LoraAndDecoder;

/// The same model in every run of a test.
pub fn model() -> Mllmseg {
    let cpu = device::cpu().device;
    let model = Mllmseg::new(&Preset::Tiny.config(), Some(LoraConfig::published(4)), &cpu);
    SET.prepare(model, TrainingMode::AS_EVALUATION)
}

/// One expression with a mask and one without a target; lengths differ.
fn example(config: &MllmsegConfig, index: usize) -> TrainExample {
    let head = IMAGE_START + config.num_image_tokens() + 2 + index;
    let answer = [8, SEG, 9, 10];
    let mut input_ids: Vec<u32> = (0..head as u32).map(|i| 11 + (i + index as u32) % 5).collect();
    input_ids.extend(answer);
    let mut labels = vec![NO_LOSS; head];
    labels.extend(answer.map(i64::from));
    let pixels: Vec<u8> = (0..20 * 30).map(|i| u8::from(i % 30 < 6 + 4 * index)).collect();
    let truth = Bitmap::from_bytes(20, 30, &pixels).unwrap();
    let masks = if index == 0 { vec![Some(truth), None] } else { vec![Some(truth)] };
    TrainExample { input_ids, labels, image_start: IMAGE_START, masks }
}

/// Some of the four examples of a step, each with an image of its own.
pub fn batch_of(config: &MllmsegConfig, step: usize, examples: Range<usize>) -> HostBatch {
    let size = config.image_size;
    let value = |i: usize| 2.0 * ((i + 7919 * (10 * step + 1)) as f32).sin();
    let image = |index: usize| (0..3 * size * size).map(move |i| value(i + 7919 * index));
    let pixels: Vec<f32> = examples.clone().flat_map(image).collect();
    HostBatch {
        pixels: TensorData::new(pixels, [examples.len(), 3, size, size]),
        image_of: (0..examples.len()).collect(),
        examples: examples.map(|index| example(config, index)).collect(),
    }
}

pub fn batch(step: usize, examples: Range<usize>) -> HostBatch {
    batch_of(&Preset::Tiny.config(), step, examples)
}

pub fn halves(step: usize) -> Vec<HostBatch> {
    vec![batch(step, 0..2), batch(step, 2..4)]
}

pub fn devices(list: &str) -> Vec<NamedDevice> {
    let selected = list.parse::<DeviceList>().unwrap().select().unwrap().into_iter();
    selected.map(|device| NamedDevice { name: device.id, device: device.device }).collect()
}

/// A model on devices, and trained as [`model`] is.
pub fn replicas_of(model: &Mllmseg, devices: &[NamedDevice]) -> Replicas {
    Replicas::start(model, devices).unwrap()
}

/// Losses of a run: each step in one batch on the CPU, or in two halves on replicas.
pub fn losses(mut model: Mllmseg, mut replicas: Option<&mut Replicas>) -> Vec<f64> {
    let step = TrainStep::new(SEG);
    let mut optimizer = AdamW::new(OptimizerConfig::default());
    let mut losses = Vec::new();
    for index in 0..STEPS {
        let gradients = match &mut replicas {
            None => {
                let whole = batch(index, 0..4).to_device(&device::cpu().device);
                step.gradients(&model, &[whole], 0).unwrap()
            }
            Some(replicas) => replicas.gradients(&step, &model, halves(index), 0).unwrap(),
        };
        let scale = gradients.norms.clip_factor(1.0);
        model = optimizer.step(3e-3, model, gradients.params, scale);
        if let Some(replicas) = &mut replicas {
            replicas.update(&model).unwrap();
        }
        losses.push(gradients.losses.total);
    }
    losses
}

/// Bytes of the trained weights.
#[cfg(any(feature = "gpu", feature = "remote"))]
pub fn trained_bytes(model: &Mllmseg) -> u64 {
    let mut bytes = 0;
    mllmseg::model::checkpoint::named_weights::for_each_weight(model, |_, weight| {
        if weight.is_trained() {
            bytes += 4 * weight.shape().num_elements() as u64;
        }
    });
    bytes
}

/// The largest relative difference of two runs.
pub fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| ((a - b) / b).abs()).fold(0.0, f64::max)
}
