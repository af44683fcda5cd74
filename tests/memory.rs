//! What is in use during a training step and a load, measured: this program's allocator counts.

use std::sync::{Mutex, MutexGuard};

use burn::tensor::{DType, Device};
use mllmseg_model::checkpoint::named_weights::for_each_weight;
use mllmseg_model::lora::LoraConfig;
use mllmseg_model::parameters::parameter_count;
use mllmseg_model::quantize::Quantization;
use mllmseg_model::{Mllmseg, MllmsegConfig, Preset};
use mllmseg_train::recipe::TrainedRecipe;
use mllmseg_train::trainable::trained_paths;
use mllmseg_train::{AdamW, OptimizerConfig, TrainStep, TrainableSet};
use xtask::allocator::{CountingAllocator, in_use};
use xtask::memory::{SEG, Workload};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const WORKLOAD: Workload = Workload {
    preset: Preset::Tiny,
    layers: Vec::new(),
    dtype: DType::F32,
    rank: 8,
    images: 1,
    expressions: 1,
    text_tokens: 20,
};

/// One measurement at a time.
fn alone() -> MutexGuard<'static, ()> {
    static MEASURING: Mutex<()> = Mutex::new(());
    MEASURING.lock().unwrap_or_else(|broken| broken.into_inner())
}

fn model(config: &MllmsegConfig, set: TrainableSet) -> Mllmseg {
    let lora = LoraConfig::published(WORKLOAD.rank);
    set.prepare(Mllmseg::new(config, Some(lora), &Device::flex()), TrainedRecipe::default().mode())
}

/// Bytes in use by the graph of a step's losses, with so many layers in the vision encoder; the least of
/// some runs, since the first draws the weights, and each thread keeps a buffer from its first work on.
fn graph(vision_layers: usize, set: TrainableSet) -> usize {
    let mut config = Preset::Tiny.config();
    config.vision.num_hidden_layers = vision_layers;
    let model = model(&config, set);
    let batch = WORKLOAD.batch(&config, &Device::flex()).unwrap();
    let step = TrainStep::new(SEG);
    let run = || step.losses(&model, &batch, 0).unwrap().total(step.loss);
    let held = || {
        let before = in_use();
        let loss = run();
        let held = in_use() - before;
        loss.backward();
        held
    };
    (0..4).map(|_| held()).min().unwrap()
}

/// Not one map of a layer of the vision encoder is held when it is frozen: five more layers would hold five
/// or more. Less than that are the buffers that the threads keep for themselves.
#[test]
fn frozen_vision_holds_nothing() {
    let _alone = alone();
    let frozen = [1, 6].map(|layers| graph(layers, TrainableSet::LoraAndDecoder));
    let config = Preset::Tiny.config();
    let map = 4 * (config.patches_per_side().pow(2) + 1) * config.vision.hidden_size;
    assert!(frozen[0].abs_diff(frozen[1]) < 3 * map, "{frozen:?}, a map of {map}");
    let trained = [1, 6].map(|layers| graph(layers, TrainableSet::Everything));
    assert!(trained[1] > trained[0] + 5_000_000, "{trained:?}");
}

/// Gradients are those of the trained weights, the optimizer state is twice as much, and nothing
/// else stays of a step.
#[test]
fn frozen_weights_have_no_gradient_and_no_state() {
    let _alone = alone();
    let mut config = Preset::Tiny.config();
    config.vision.hidden_size = 256;
    let model = model(&config, TrainableSet::LoraAndDecoder);
    let mut trained = 0;
    for_each_weight(&model, |_, weight| {
        trained += if weight.is_trained() { 4 * weight.shape().num_elements() } else { 0 };
    });
    let batch = [WORKLOAD.batch(&config, &Device::flex()).unwrap()];
    for gradient_checkpointing in [false, true] {
        let step = TrainStep { gradient_checkpointing, ..TrainStep::new(SEG) };
        drop(step.gradients(&model, &batch, 0).unwrap());
        let before = in_use();
        let gradients = step.gradients(&model, &batch, 0).unwrap();
        let held = in_use() - before;
        assert!(held.abs_diff(trained) < trained / 10, "{held} {trained}");
        let mut optimizer = AdamW::new(OptimizerConfig::default());
        let updated = optimizer.step(1e-4, model.clone(), gradients.params, 1.0);
        // The updated weights beside those of `model`, and two moments of each.
        let held = in_use() - before;
        assert!(held.abs_diff(3 * trained) < trained / 10, "{held} {trained}");
        drop((updated, optimizer));
    }
}

/// Each update makes new leaves, and Burn keeps leaves until the next backward pass: those of one step at
/// a time, some hundred bytes for each weight.
#[test]
fn steps_leave_nothing_behind() {
    let _alone = alone();
    let config = Preset::Tiny.config();
    let mut model = model(&config, TrainableSet::LoraAndDecoder);
    let batch = [WORKLOAD.batch(&config, &Device::flex()).unwrap()];
    let (step, mut optimizer) = (TrainStep::new(SEG), AdamW::new(OptimizerConfig::default()));
    let mut in_use_after = |steps| {
        for number in 0..steps {
            let gradients = step.gradients(&model, &batch, number).unwrap();
            model = optimizer.step(1e-4, model.clone(), gradients.params, 1.0);
        }
        in_use()
    };
    let after = [5, 20].map(&mut in_use_after);
    let weights = trained_paths(&model).len();
    assert!(after[1] < after[0] + 20 * 100 * weights, "{after:?}, {weights} weights");
}

/// The peak of whole steps, the optimizer's included.
#[test]
fn gradient_checkpointing_holds_less() {
    let _alone = alone();
    let workload = Workload { images: 2, text_tokens: 120, ..WORKLOAD };
    let [plain, checkpointed] = [false, true].map(|checkpointing| {
        let peaks = [4, 12].map(|layers| workload.measure(layers, checkpointing).unwrap().0);
        (peaks[1] - peaks[0]) / 8
    });
    assert!(checkpointed < plain / 4, "bytes a layer: {checkpointed}, without {plain}");
}

/// A load holds the model, a tenth of it, and the names of all tensors with one on its way, also where
/// weights are kept in fewer bits: they take a half, or a quarter and a scale of 4 bytes for 128 values.
#[test]
fn a_load_takes_little_more_than_the_model() {
    let _alone = alone();
    let mut config = Preset::Tiny.config();
    config.vision.num_hidden_layers = 64;
    let folder = tempfile::tempdir().unwrap();
    xtask::drawn::checkpoint(&config, folder.path(), DType::BF16).unwrap();
    let load = |kept| {
        let cost = xtask::bench::load(folder.path(), kept).unwrap();
        let names_and_one = 1 << 20;
        assert!(cost.peak < cost.model + cost.model / 10 + names_and_one, "{kept:?}: {cost:?}");
        cost.model as f64
    };
    let whole = load(Quantization::None);
    let model = Mllmseg::new(&config, None, &Device::flex());
    let (all, decoder) = (parameter_count(&model), parameter_count(&model.mask_decoder));
    assert!((whole - 4.0 * all as f64).abs() < 0.02 * whole, "{whole} for {all} parameters");
    // Nearly all of the others are matrices.
    let matrices = 4.0 * (all - decoder) as f64;
    for (kept, part) in [(Quantization::Bf16, 0.5), (Quantization::Q8, 0.25 + 1.0 / 128.0)] {
        let expected = whole - (1.0 - part) * matrices;
        let found = load(kept);
        assert!((found - expected).abs() < 0.05 * whole, "{kept:?}: {found}, not {expected}");
    }
}
