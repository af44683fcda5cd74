//! Gradient checkpointing changes neither losses nor gradients.

mod support;

use std::sync::Mutex;

use burn::optim::GradientsParams;
use burn::tensor::Distribution;
use mllmseg_data::prompt::NO_LOSS;
use mllmseg_model::checkpoint::named_weights::{for_each_weight, update_weights};
use mllmseg_model::config::Architecture;
use mllmseg_model::lora::LoraConfig;
use mllmseg_model::{Mllmseg, MllmsegConfig, Preset};
use mllmseg_train::trainable::trained_paths;
use mllmseg_train::{BatchNormStatistics, TrainBatch, TrainStep, TrainableSet, TrainingMode};
use support::{SEG, cpu, example, pixels};

/// The CPU draws dropout from one generator for the whole process: one test at a time.
static DRAWING: Mutex<()> = Mutex::new(());

fn config(architecture: Architecture) -> MllmsegConfig {
    let mut config = Preset::Tiny.config();
    config.language.architecture = architecture;
    config
}

fn model(config: &MllmsegConfig, set: TrainableSet, lora: bool, dropout: bool) -> Mllmseg {
    let lora = lora.then(|| LoraConfig::published(4));
    let model = Mllmseg::new(config, lora, &cpu());
    // A fresh adapter's B is zero, and with it every gradient of A.
    let language_model = update_weights(
        model.language_model.clone(),
        |_, _| Some(()),
        |_, (), x| {
            let noise = x.random_like(Distribution::Normal(0.0, 0.02));
            x + noise
        },
    );
    let mode = TrainingMode { dropout, batch_norm: BatchNormStatistics::Conversation };
    set.prepare(Mllmseg { language_model, ..model }, mode)
}

/// Two images; with `shared`, the first of them has two examples.
fn batch(config: &MllmsegConfig, shared: bool) -> TrainBatch {
    let pixels = pixels(config, 2);
    let long = example(config, &[5, 6, 11], 1);
    let short = example(config, &[12], 2);
    if shared {
        let examples = vec![long.clone(), short, long];
        return TrainBatch { pixels, examples, image_of: vec![0, 0, 1] };
    }
    TrainBatch::new(pixels, vec![long, short])
}

/// Largest difference of two sets of gradients, relative to the largest value of each weight.
fn difference(model: &Mllmseg, plain: &GradientsParams, found: &GradientsParams) -> f64 {
    let mut difference = 0f32;
    for_each_weight(model, |path, weight| {
        let (plain, found) = (weight.gradient(plain), weight.gradient(found));
        assert_eq!(plain.is_some(), found.is_some(), "a gradient of {path} on one side only");
        if let Some((plain, found)) = plain.zip(found) {
            let largest = plain.clone().abs().max().into_scalar::<f32>().max(1e-6);
            let apart = (plain - found).abs().max().into_scalar::<f32>();
            difference = difference.max(apart / largest);
        }
    });
    f64::from(difference)
}

fn agrees(architecture: Architecture, set: TrainableSet, lora: bool, dropout: bool) {
    let _alone = DRAWING.lock().unwrap_or_else(|broken| broken.into_inner());
    let config = config(architecture);
    let model = model(&config, set, lora, dropout);
    for shared in [false, true] {
        let batches = [batch(&config, shared), batch(&config, false)];
        let [plain, found] = [false, true].map(|gradient_checkpointing| {
            let step = TrainStep { gradient_checkpointing, ..TrainStep::new(SEG) };
            step.gradients(&model, &batches, 11).unwrap()
        });
        let (a, b) = (plain.losses, found.losses);
        for (a, b) in [(a.ce, b.ce), (a.pixel, b.pixel), (a.dice, b.dice), (a.iou, b.iou)] {
            assert!((a - b).abs() <= 1e-5 * a.abs(), "{a} {b}");
        }
        // One for each of the two conversations of both batches, in either way.
        assert_eq!([plain.batch_statistics.len(), found.batch_statistics.len()], [4, 4]);
        assert_eq!(plain.params.len(), trained_paths(&model).len());
        assert_eq!(plain.params.len(), found.params.len());
        let apart = difference(&model, &plain.params, &found.params);
        assert!(apart < 1e-5, "{architecture:?} {set:?} shared {shared}: {apart}");
    }
}

#[test]
fn adapters_with_dropout() {
    agrees(Architecture::Qwen2, TrainableSet::LoraAndDecoder, true, true);
    agrees(Architecture::InternLm2, TrainableSet::LoraAndDecoder, true, true);
}

#[test]
fn the_published_set() {
    for architecture in [Architecture::Qwen2, Architecture::InternLm2] {
        agrees(architecture, TrainableSet::Published(architecture), true, true);
    }
}

#[test]
fn every_weight() {
    agrees(Architecture::Qwen2, TrainableSet::Everything, false, false);
    agrees(Architecture::InternLm2, TrainableSet::Everything, true, true);
}

/// Without a mask to learn, nothing asks for the image's tokens.
#[test]
fn words_alone_and_nothing_at_all() {
    let _alone = DRAWING.lock().unwrap_or_else(|broken| broken.into_inner());
    let config = config(Architecture::Qwen2);
    let model = model(&config, TrainableSet::Everything, true, false);
    let mut batch = batch(&config, true);
    for example in &mut batch.examples {
        example.labels.iter_mut().filter(|id| **id == i64::from(SEG)).for_each(|id| *id = NO_LOSS);
        example.masks.clear();
    }
    let gradients = |batch: &TrainBatch, gradient_checkpointing| {
        let step = TrainStep { gradient_checkpointing, ..TrainStep::new(SEG) };
        step.gradients(&model, std::slice::from_ref(batch), 0).unwrap()
    };
    let (plain, found) = (gradients(&batch, false), gradients(&batch, true));
    assert!(!plain.params.is_empty());
    assert!(difference(&model, &plain.params, &found.params) < 1e-5);
    batch.examples.iter_mut().for_each(|example| example.labels.fill(NO_LOSS));
    let nothing = gradients(&batch, true);
    assert!(nothing.params.is_empty() && nothing.losses.total == 0.0);
}
