//! One training step on a tiny model with drawn weights.

mod support;

use burn::module::Module;
use burn::tensor::Tensor;
use mllmseg_data::prompt::NO_LOSS;
use mllmseg_model::lora::LoraConfig;
use mllmseg_model::mllmseg::{SegToken, token_tensor};
use mllmseg_model::{Mllmseg, MllmsegConfig, Preset};
use mllmseg_train::gradients::GradientNorms;
use mllmseg_train::loss::{cross_entropy, mask_terms};
use mllmseg_train::trainable::trained_paths;
use mllmseg_train::{
    MaskLoss, StepError, TrainBatch, TrainExample, TrainStep, TrainableSet, TrainingMode,
};
use support::{IMAGE_START, SEG, cpu, pixels, truth};

fn model(config: &MllmsegConfig, dropout: bool) -> Mllmseg {
    let model = Mllmseg::new(config, Some(LoraConfig::published(4)), &cpu());
    let mode = TrainingMode { dropout, ..TrainingMode::AS_EVALUATION };
    TrainableSet::LoraAndDecoder.prepare(model, mode)
}

fn without_dropout() -> (MllmsegConfig, Mllmseg, TrainStep) {
    let config = Preset::Tiny.config();
    let model = model(&config, false);
    (config, model, TrainStep::new(SEG))
}

/// Four tokens to learn, one mask, and one expression without a target.
fn example(config: &MllmsegConfig) -> TrainExample {
    let mut example = support::example(config, &[1], 1);
    example.masks.push(None);
    example
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-5 * b.abs().max(1.0)
}

fn assert_norms_agree(a: &GradientNorms, b: &GradientNorms) {
    for ((path, a), (_, b)) in a.of_weights.iter().zip(&b.of_weights) {
        assert!((a - b).abs() <= 1e-4 * b.max(1e-4), "{path}: {a} {b}");
    }
}

/// The step shares work between expressions and scores few positions; the plain pass does not.
#[test]
fn losses_equal_those_of_the_plain_pass() {
    let (config, model, step) = without_dropout();
    let (example, pixels) = (example(&config), pixels(&config, 1));
    let batch = TrainBatch::new(pixels.clone(), vec![example.clone()]);
    let found = step.losses(&model, &batch, 0).unwrap().values(step.loss);

    let plain = model.valid();
    let device = cpu();
    let length = example.input_ids.len();
    let ids = token_tensor(&[&example.input_ids], 0, &device);
    let segs = [SegToken { row: 0, position: length - 3, image: 0 }];
    let (state, segmented) = plain.forward(pixels, ids, IMAGE_START, &segs);
    let masks = segmented.map(|out| out.masks);
    let states = state.hidden.narrow(1, length - 5, 4).squeeze_dim(0);
    let logits = plain.language_model.lm_head.forward::<2>(states);
    let targets = Tensor::from_data([8, SEG as i32, 9, 10], &device);
    let ce = cross_entropy(logits, targets).into_scalar::<f32>();
    let terms = mask_terms(MaskLoss::FocalDice, masks, &[&truth()], 1, &device);
    assert!(close(found.ce, ce.into()), "{found:?} {ce}");
    assert!(close(found.pixel, terms.pixel.into_scalar::<f32>().into()));
    assert!(close(found.dice, terms.dice.into_scalar::<f32>().into()));
    assert!(close(found.total, found.ce + found.pixel + found.dice));
}

/// A batch is the mean of its examples, over the whole step: a long answer weighs by its tokens
/// however it is batched.
#[test]
fn batches_weigh_by_their_counts() {
    let (config, model, step) = without_dropout();
    let pixels = pixels(&config, 2);
    let mut alike = example(&config);
    alike.input_ids[IMAGE_START + config.num_image_tokens()] = 2;
    let mut short = example(&config);
    *short.labels.last_mut().unwrap() = NO_LOSS;
    short.masks.truncate(1);
    for other in [alike, short] {
        let examples = vec![example(&config), other];
        let single = [0, 1].map(|row| {
            TrainBatch::new(pixels.clone().narrow(0, row, 1), vec![examples[row].clone()])
        });
        let accumulated = step.gradients(&model, &single, 0).unwrap();
        let together = TrainBatch::new(pixels.clone(), examples);
        let together = step.gradients(&model, &[together], 0).unwrap();
        let (a, b) = (together.losses, accumulated.losses);
        assert!(close(a.total, b.total) && close(a.ce, b.ce), "{a:?} {b:?}");
        assert!(close(a.pixel, b.pixel) && close(a.dice, b.dice), "{a:?} {b:?}");
        assert!(close(a.iou, b.iou), "{a:?} {b:?}");
        assert_eq!(together.norms.of_weights.len(), trained_paths(&model).len());
        assert_norms_agree(&together.norms, &accumulated.norms);
        assert!(close(together.norms.total, accumulated.norms.total));
    }
}

/// Reading an image once for several examples gives what reading it for each of them gives.
#[test]
fn shared_images_change_nothing() {
    let (config, model, step) = without_dropout();
    let pixels = pixels(&config, 2);
    let mut other = example(&config);
    let end = other.input_ids.len() - 1;
    other.input_ids[end] = 11;
    other.input_ids.insert(IMAGE_START + config.num_image_tokens() + 1, 12);
    other.labels.insert(0, NO_LOSS);
    let examples = vec![example(&config), other.clone(), other];
    let image_of = vec![0, 0, 1];
    let rows = image_of.iter().map(|&row| pixels.clone().narrow(0, row, 1)).collect();
    let apart = TrainBatch::new(Tensor::cat(rows, 0), examples.clone());
    let shared = TrainBatch { pixels, examples, image_of };
    assert!(shared.shares_images() && !apart.shares_images());
    let [apart, shared] = [apart, shared].map(|batch| step.gradients(&model, &[batch], 0).unwrap());
    let (a, b) = (apart.losses, shared.losses);
    assert!(close(a.total, b.total) && close(a.ce, b.ce) && close(a.dice, b.dice), "{a:?} {b:?}");
    assert_norms_agree(&apart.norms, &shared.norms);
}

/// A shorter conversation is padded on the right, and nothing of the padding is seen.
#[test]
fn padding_changes_nothing() {
    let (config, model, step) = without_dropout();
    let mut long = example(&config);
    long.input_ids.extend([11, 12, 13]);
    long.labels.extend([NO_LOSS; 3]);
    let pixels = pixels(&config, 1);
    let batch = |examples: Vec<TrainExample>| {
        TrainBatch::new(pixels.clone().repeat_dim(0, examples.len()), examples)
    };
    let losses = |batch| step.losses(&model, &batch, 0).unwrap().values(step.loss);
    let alone = losses(batch(vec![example(&config)]));
    let padded = losses(batch(vec![example(&config), long]));
    assert!(close(alone.total, padded.total), "{alone:?} {padded:?}");
}

#[test]
fn nothing_to_learn_is_zero_and_not_a_number_never() {
    let config = Preset::Tiny.config();
    let mut example = example(&config);
    example.labels.fill(NO_LOSS);
    example.masks.clear();
    let batch = TrainBatch::new(pixels(&config, 1), vec![example]);
    let outcome = TrainStep::new(SEG).gradients(&model(&config, true), &[batch], 0).unwrap();
    assert_eq!(outcome.losses.total, 0.0);
    assert_eq!(outcome.norms.total, 0.0);
    assert!(outcome.params.is_empty());
}

#[test]
fn dropout_is_a_choice() {
    let config = Preset::Tiny.config();
    let step = TrainStep::new(SEG);
    let batch = TrainBatch::new(pixels(&config, 1), vec![example(&config)]);
    let total = |model: &Mllmseg| step.losses(model, &batch, 0).unwrap().values(step.loss).total;
    let with = model(&config, true);
    assert_ne!(total(&with), total(&with));
    let without = TrainableSet::LoraAndDecoder.prepare(with, TrainingMode::AS_EVALUATION);
    assert_eq!(total(&without), total(&without));
}

#[test]
fn broken_losses_name_the_term() {
    let (config, model, step) = without_dropout();
    let batch = TrainBatch::new(pixels(&config, 1) * f32::NAN, vec![example(&config)]);
    let error = step.gradients(&model, &[batch], 0).unwrap_err();
    assert!(
        matches!(error, StepError::NonFiniteLoss { term: "cross-entropy", value } if value.is_nan()),
        "{error}"
    );
}

#[test]
fn contradictions_are_refused_by_name() {
    let (config, model, step) = without_dropout();
    let refused = |change: fn(&mut TrainExample), words: &str| {
        let mut example = example(&config);
        change(&mut example);
        let batch = TrainBatch::new(pixels(&config, 1), vec![example]);
        let error = step.losses(&model, &batch, 0).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    refused(|e| e.masks.clear(), "1 [SEG], but there are 0 masks");
    refused(|e| e.labels.truncate(3), "3 labels");
    refused(|e| e.image_start = 0, "after at least one token");
    refused(|e| e.image_start = usize::MAX / 2, "inside the");
    refused(|e| e.input_ids[0] = u32::MAX, "not among the");
    let labelled = |e: &mut TrainExample| *e.labels.last_mut().unwrap() = -5;
    refused(labelled, "token -5 is not among the");
    let batch = TrainBatch::new(pixels(&config, 2), vec![example(&config)]);
    let error = step.losses(&model, &batch, 0).unwrap_err();
    assert_eq!(error, StepError::BatchSize { images: 2, examples: 1 });
}
