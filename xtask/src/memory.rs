//! `cargo xtask memory`: the most bytes in use during one training step, measured on the CPU.
//!
//! A model may be too large for the machine. So the language model is measured at two or more small
//! depths. Each layer adds the same number of bytes, so that the line through the last two depths
//! gives the model's own.

use std::time::Instant;

use burn::tensor::{DType, Device, Distribution, Tensor};
use clap::Args;
use mllmseg::model::{Mllmseg, MllmsegConfig, Preset};
use mllmseg_data::mask::Bitmap;
use mllmseg_data::prompt::NO_LOSS;
use mllmseg_model::lora::LoraConfig;
use mllmseg_train::{AdamW, OptimizerConfig, TrainBatch, TrainExample, TrainStep, TrainableSet};

use crate::allocator::{in_use, peak_in_use, reset_peak};
use crate::drawn::{self, TOKENS_BEFORE_IMAGE};
use crate::weights::parse_dtype;

/// The id of `[SEG]`; any token will do.
pub const SEG: u32 = 7;
/// Height and width of the true masks.
pub const TRUTH: [usize; 2] = [480, 640];

/// The model and the batch of the step.
#[derive(Args, Clone)]
pub struct Workload {
    /// Sizes
    #[arg(long, default_value = "internvl2_5-1b")]
    pub preset: Preset,
    /// Depths of the language model to measure; those above its own are left out
    #[arg(long, value_delimiter = ',', default_value = "2,4")]
    pub layers: Vec<usize>,
    /// dtype of vision encoder, projector and language model: f32, bf16 or f16
    #[arg(long, default_value = "f32", value_parser = parse_dtype)]
    pub dtype: DType,
    /// Rank of the adapters
    #[arg(long, default_value_t = 64)]
    pub rank: usize,
    /// Images of the batch, one conversation each
    #[arg(long, default_value_t = 4)]
    pub images: usize,
    /// Expressions of each conversation, all with a mask
    #[arg(long, default_value_t = 5)]
    pub expressions: usize,
    /// Tokens of each conversation after the image
    #[arg(long, default_value_t = 199)]
    pub text_tokens: usize,
}

/// Prints a row for each depth, and one for the depth of the preset.
pub fn run(workload: &Workload) -> Result<(), Box<dyn std::error::Error>> {
    let Workload { preset, dtype, images, expressions, .. } = workload;
    let config = preset.config();
    let (depth, length) = (config.language.num_hidden_layers, workload.length(&config));
    println!("{}, base model in {:?}, on the CPU", preset.name(), dtype);
    println!("{images} x {length} tokens, {expressions} expressions each");
    println!("gradient checkpointing   layers   GB at most   seconds");
    for (checkpointing, name) in [(false, "no"), (true, "yes")] {
        let mut peaks = Vec::new();
        for &layers in workload.layers.iter().filter(|&&layers| layers <= depth) {
            let (peak, seconds) = workload.measure(layers, checkpointing)?;
            println!("{name:<22}{layers:>9}{:>13.3}{seconds:>10.1}", peak as f64 / 1e9);
            peaks.push((layers as f64, peak as f64));
        }
        if let [.., (x0, y0), (x1, y1)] = peaks[..]
            && x0 < x1
            && x1 < depth as f64
        {
            let peak = y1 + (depth as f64 - x1) * (y1 - y0) / (x1 - x0);
            println!("{name:<22}{depth:>9}{:>13.3}  extrapolated", peak / 1e9);
        }
    }
    Ok(())
}

impl Workload {
    /// Takes two steps of the published recipe with drawn weights, of which the second counts: the
    /// first creates the optimizer state. Returns the most bytes in use (of weights, gradients,
    /// optimizer state and activations), and the step's seconds.
    pub fn measure(
        &self,
        layers: usize,
        gradient_checkpointing: bool,
    ) -> Result<(usize, f64), Box<dyn std::error::Error>> {
        let before = in_use();
        let mut config = self.preset.config();
        config.language.num_hidden_layers = layers;
        let device = Device::flex();
        let mut model = self.model(&config, &device);
        let step = TrainStep { gradient_checkpointing, ..TrainStep::new(SEG) };
        let batch = [self.batch(&config, &device)?];
        let mut optimizer = AdamW::new(OptimizerConfig::default());
        let mut seconds = 0.0;
        for _ in 0..2 {
            reset_peak();
            let start = Instant::now();
            let gradients = step.gradients(&model, &batch, 0)?;
            let factor = gradients.norms.clip_factor(1.0);
            model = optimizer.step(1e-5, model, gradients.params, factor);
            seconds = start.elapsed().as_secs_f64();
        }
        Ok((peak_in_use() - before, seconds))
    }

    /// A model that the published recipe trains.
    pub fn model(&self, config: &MllmsegConfig, device: &Device) -> Mllmseg {
        let lora = Some(LoraConfig::published(self.rank));
        let model = drawn::model(config, lora, self.dtype, device);
        TrainableSet::Published(config.language.architecture).prepare(model, drawn::training_mode())
    }

    /// Tokens of a conversation.
    pub fn length(&self, config: &MllmsegConfig) -> usize {
        TOKENS_BEFORE_IMAGE + config.num_image_tokens() + self.text_tokens
    }

    /// Where the answer starts. At most half of the text, it has `the mask of` five words `is [SEG],` for
    /// each expression, and a start and an end. A `[SEG]` is at every second of its first tokens.
    pub fn answer_start(&self, config: &MllmsegConfig) -> usize {
        self.length(config) - (12 * self.expressions + 6).min(self.text_tokens / 2)
    }

    /// A batch of random images with made-up conversations.
    pub fn batch(
        &self,
        config: &MllmsegConfig,
        device: &Device,
    ) -> Result<TrainBatch, Box<dyn std::error::Error>> {
        let length = self.length(config);
        let answer = self.answer_start(config);
        let ids = (0..length).map(|i| (8 + i % (config.language.vocab_size - 8)) as u32);
        let mut input_ids: Vec<u32> = ids.collect();
        for expression in 0..self.expressions {
            *input_ids.get_mut(answer + 2 * expression).ok_or("too few --text-tokens")? = SEG;
        }
        let labels = input_ids.iter().enumerate();
        let labels = labels.map(|(i, &id)| if i < answer { NO_LOSS } else { i64::from(id) });
        let labels = labels.collect();
        let [height, width] = TRUTH;
        let inside = (0..height * width).map(|i| u8::from(i % width < width / 3));
        let mask = Bitmap::from_bytes(height, width, &inside.collect::<Vec<u8>>())?;
        let masks = vec![Some(mask); self.expressions];
        let example = TrainExample { input_ids, labels, image_start: TOKENS_BEFORE_IMAGE, masks };
        let shape = [self.images, 3, config.image_size, config.image_size];
        let pixels = Tensor::random(shape, Distribution::Normal(0.0, 1.0), device);
        Ok(TrainBatch::new(pixels, vec![example; self.images]))
    }
}
