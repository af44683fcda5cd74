//! What the graph of a training step holds: nothing for frozen weights, and for the others what
//! `xtask::memory` computes from shapes. The allocator of this program counts.

use std::sync::{Mutex, MutexGuard};

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Distribution, Tensor};
use mllmseg_data::mask::Bitmap;
use mllmseg_data::prompt::NO_LOSS;
use mllmseg_model::config::Architecture;
use mllmseg_model::language::Streams;
use mllmseg_model::lora::LoraConfig;
use mllmseg_model::mask_decoder::DecoderImage;
use mllmseg_model::parameters::parameter_count;
use mllmseg_model::{Mllmseg, MllmsegConfig, Preset};
use mllmseg_train::loss::mask_terms;
use mllmseg_train::{
    AdamW, AdamWConfig, MaskLoss, TrainBatch, TrainExample, TrainStep, TrainableSet,
};
use xtask::memory::counting::{CountingAllocator, in_use};
use xtask::memory::measure;
use xtask::memory::shapes::{self, Sequences};
use xtask::memory::{Account, Workload};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const RANK: usize = 8;
const SEG: u32 = 7;
/// Nodes of the graph and shapes, which no formula counts.
const BOOKKEEPING: usize = 300_000;

/// One measurement at a time.
fn alone() -> MutexGuard<'static, ()> {
    static MEASURING: Mutex<()> = Mutex::new(());
    MEASURING.lock().unwrap_or_else(|broken| broken.into_inner())
}

fn model(config: &MllmsegConfig, set: TrainableSet) -> Mllmseg {
    let model = Mllmseg::new(config, Some(LoraConfig::published(RANK)), &Device::flex());
    set.prepare(model, true)
}

fn random<const D: usize>(shape: [usize; D], dtype: DType) -> Tensor<D> {
    let normal = Distribution::Normal(0.0, 1.0);
    Tensor::random(shape, normal, (&Device::flex(), dtype)).autodiff()
}

/// What stays in use of what `run` allocates, its result included; after one run that is not
/// counted, in which weights are drawn and graphs left over let go.
fn held<T>(mut run: impl FnMut() -> Tensor<1>, finish: impl Fn(Tensor<1>) -> T) -> usize {
    finish(run());
    let before = in_use();
    let result = run();
    let held = in_use() - before;
    finish(result);
    held
}

fn assert_close(held: usize, computed: usize, what: &str) {
    let apart = held.abs_diff(computed);
    assert!(apart < computed / 50 + BOOKKEEPING, "{what}: held {held}, computed {computed}");
}

struct Cast(DType);

impl ModuleMapper for Cast {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if param.is_require_grad() { param } else { param.map(|x| x.cast(self.0)) }
    }
}

#[test]
fn a_layer_holds_what_is_computed() {
    let _alone = alone();
    for architecture in [Architecture::InternLm2, Architecture::Qwen2] {
        for dtype in [DType::F32, DType::BF16] {
            let mut config = Preset::Tiny.config();
            config.language.architecture = architecture;
            let language_model = model(&config, TrainableSet::LoraAndDecoder).language_model;
            let language_model = language_model.map(&mut Cast(dtype));
            let (config, base) = (&config.language, dtype.size());
            for (batch, length) in [(2, 300), (5, 160)] {
                let shape = [batch, length, config.hidden_size];
                let streams = |x| Streams { trunk: x, branches: None };
                let reading = language_model.reading(&streams(random(shape, dtype)), None);
                let run = || {
                    let input = streams(random(shape, dtype).require_grad());
                    let noise = language_model.draw_noise(&input);
                    let output = language_model.layers[0].read(input, &reading, noise.as_ref());
                    output.trunk.sum()
                };
                let held = held(run, |loss| loss.backward());
                let read = Sequences { batch, length, past: 0 };
                let computed = shapes::language_layer(config, base, RANK, read);
                assert_close(held, computed, &format!("{architecture:?} {dtype:?} {read:?}"));
            }
        }
    }
}

#[test]
fn the_decoder_holds_what_is_computed() {
    let _alone = alone();
    let mut config = Preset::Tiny.config();
    (config.vision.hidden_size, config.vision.image_size, config.image_size) = (256, 112, 112);
    config.mask_decoder.num_attention_heads = 8; // as published
    let decoder = model(&config, TrainableSet::LoraAndDecoder).mask_decoder;
    let (patches, tokens) = (config.patches_per_side().pow(2), config.num_image_tokens());
    let (width, language) = (config.vision.hidden_size, config.language.hidden_size);
    let encode = |images: usize| {
        let details = random([images, patches, width], DType::F32);
        let semantics = random([images, tokens, language], DType::F32).require_grad();
        decoder.encode(details, semantics)
    };
    for images in [1, 3] {
        let held = held(|| encode(images).attended.sum(), |loss| loss.backward());
        let computed = shapes::decoder_images(&config, images);
        assert_close(held, computed, &format!("{images} images"));
    }
    let size = [150, 200];
    let truth = Bitmap::from_bytes(size[0], size[1], &vec![0; size[0] * size[1]]).unwrap();
    let fusion = encode(1).fusion;
    for expressions in [2, 7] {
        let run = || {
            let attended = random([expressions, patches, width], DType::F32).require_grad();
            let image = DecoderImage { fusion: fusion.clone(), attended };
            let seg = random([expressions, 1, language], DType::F32).require_grad();
            let masks = decoder.segment(&image, seg);
            let truths = vec![&truth; expressions];
            let terms = mask_terms(MaskLoss::FocalDice, Some(masks), &truths, 0, &Device::flex());
            terms.pixel + terms.dice
        };
        let held = held(run, |loss| loss.backward());
        // The value's part of a packed weight.
        let weight = 4 * width * width;
        let computed = shapes::decoder_expressions(&config, expressions, size) + weight;
        assert_close(held, computed, &format!("{expressions} expressions"));
    }
}

/// The peak of whole steps, in this process: the optimizer, gradients and workspace too.
#[test]
fn a_step_takes_what_is_computed() {
    let _alone = alone();
    for gradient_checkpointing in [false, true] {
        let mut config = Preset::Tiny.config();
        config.language.num_hidden_layers = 12;
        let workload = Workload {
            config,
            dtype: DType::F32,
            rank: RANK,
            trained: TrainableSet::LoraAndDecoder,
            images: 2,
            expressions: 2,
            text_tokens: 120,
            truth: [100, 120],
            batches: 1,
            recompute,
        };
        let before = in_use();
        let measured = measure::step(&workload).unwrap().allocated - before;
        let computed = Account::of(&workload).peak();
        let ratio = computed as f64 / measured as f64;
        assert!((0.85..1.15).contains(&ratio), "recompute {recompute}: {computed} {measured}");
    }
}

fn batch(config: &MllmsegConfig) -> TrainBatch {
    let answer = [8, SEG, 9];
    let head = 3 + config.num_image_tokens() + 2;
    let input_ids: Vec<u32> = std::iter::repeat_n(1, head).chain(answer).collect();
    let labels = std::iter::repeat_n(NO_LOSS, head).chain(answer.map(i64::from)).collect();
    let mask = Bitmap::from_bytes(20, 30, &[1; 600]).unwrap();
    let example = TrainExample { input_ids, labels, image_start: 3, masks: vec![Some(mask)] };
    let size = config.image_size;
    TrainBatch::new(random([1, 3, size, size], DType::F32).inner(), vec![example])
}

/// Bytes in use by the graph of a step's losses, with so many layers in the vision encoder.
fn graph(vision_layers: usize, set: TrainableSet) -> usize {
    let mut config = Preset::Tiny.config();
    config.vision.num_hidden_layers = vision_layers;
    let (model, batch) = (model(&config, set), batch(&config));
    let step = TrainStep::new(SEG);
    let run = || step.losses(&model, &batch, 0).unwrap().total(step.weights);
    held(run, |loss| loss.backward())
}

/// Not one map of the vision encoder, of whatever depth, is held when it is frozen.
#[test]
fn frozen_vision_holds_nothing() {
    let _alone = alone();
    let frozen = [1, 6].map(|layers| graph(layers, TrainableSet::LoraAndDecoder));
    assert!(frozen[0].abs_diff(frozen[1]) < 50_000, "{frozen:?}");
    let trained = [1, 6].map(|layers| graph(layers, TrainableSet::Everything));
    assert!(trained[1] > trained[0] + 5_000_000, "{trained:?}");
}

/// Gradients are those of the trained weights, the optimizer remembers twice as much, and nothing
/// else stays of a step.
#[test]
fn frozen_weights_have_no_gradient_and_no_state() {
    let _alone = alone();
    let mut config = Preset::Tiny.config();
    config.vision.hidden_size = 256;
    let model = model(&config, TrainableSet::LoraAndDecoder);
    let batch = [batch(&config)];
    let trained = 4 * parameter_count(&model.mask_decoder)
        + 4 * shapes::adapted_linears(&config.language)
            .iter()
            .map(|(from, to)| RANK * (from + to) * config.language.num_hidden_layers)
            .sum::<usize>();
    for gradient_checkpointing in [false, true] {
        let step = TrainStep { gradient_checkpointing, ..TrainStep::new(SEG) };
        drop(step.gradients(&model, &batch, 0).unwrap());
        let before = in_use();
        let gradients = step.gradients(&model, &batch, 0).unwrap();
        let held = in_use() - before;
        assert!(held.abs_diff(trained) < trained / 10, "{held} {trained}");
        let mut optimizer = AdamW::new(AdamWConfig::default());
        let updated = optimizer.step(1e-4, model.clone(), gradients.params, 1.0);
        // The updated weights beside those of `model`, and two means of each.
        let held = in_use() - before;
        assert!(held.abs_diff(3 * trained) < trained / 10, "{held} {trained}");
        drop((updated, optimizer));
    }
}
