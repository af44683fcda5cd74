//! Benchmarks of the product at published sizes, with drawn weights.

use std::path::Path;
use std::time::Instant;

use burn::tensor::{DType, Distribution, Tensor};
use mllmseg::device::{self, SelectedDevice};
use mllmseg::model::checkpoint::{
    CheckpointError, LoadOptions, SaveOptions, load_model, save_model,
};
use mllmseg::model::mllmseg::{SegToken, token_tensor};
use mllmseg::model::parameters::parameter_count;
use mllmseg::model::{Mllmseg, MllmsegConfig};

use crate::allocator::{in_use, peak_in_use, reset_peak};

/// Tokens of the system text and the header before the image, in InternVL2.5's template.
pub const TOKENS_BEFORE_IMAGE: usize = 45;
/// Tokens after `</img>` up to `[SEG]`, for an expression of five words.
const TOKENS_AFTER_IMAGE: usize = 35;

/// Seconds of each part of a computation, by name.
pub type PartSeconds = Vec<(&'static str, f64)>;

/// Times encoding an image and segmenting one expression; of each part the median of `runs`, after
/// one run that is not counted. The first is everything that no expression changes.
pub fn session(config: &MllmsegConfig, device: &SelectedDevice, runs: usize) -> [PartSeconds; 2] {
    let model = Mllmseg::new(config, None, &device.device);
    let size = config.image_size;
    let distribution = Distribution::Normal(0.0, 1.0);
    let pixels = Tensor::<4>::random([1, 3, size, size], distribution, &device.device);
    let prefix_length = TOKENS_BEFORE_IMAGE + config.num_image_tokens() + 1;
    let ids = |length: usize| {
        let ids: Vec<u32> = (0..length as u32).collect();
        token_tensor(&[&ids], 0, &device.device)
    };
    let (prefix, question) = (ids(prefix_length), ids(TOKENS_AFTER_IMAGE));

    // The result of a part is read back, since devices compute in the background.
    let encode = median_of_parts(runs, || {
        let mut parts = PartSeconds::new();
        let image_tokens =
            time(&mut parts, "vision", || wait3(model.vision.forward(pixels.clone())));
        let state = time(&mut parts, "the rest", || {
            model.encode_prefix(image_tokens, prefix.clone(), TOKENS_BEFORE_IMAGE)
        });
        wait3(state.decoder.attended);
        parts
    });
    let image_tokens = model.encode_image(pixels.clone());
    let state = model.encode_prefix(image_tokens, prefix.clone(), TOKENS_BEFORE_IMAGE);
    let segment = median_of_parts(runs, || {
        let mut parts = PartSeconds::new();
        let hidden = time(&mut parts, "language model", || {
            wait3(model.forward_cached(question.clone(), &mut state.cache.clone())) // [1, t, d]
        });
        let segmented = time(&mut parts, "mask decoder", || {
            let position = prefix_length + TOKENS_AFTER_IMAGE;
            let seg = SegToken { row: 0, position, image: 0 };
            let segmented = model.segment(&state.decoder, &hidden, prefix_length, &[seg]);
            wait3(segmented.masks.clone());
            segmented
        });
        time(&mut parts, "vocabulary", || {
            model.language_model.predicted_ids(segmented.seg_tokens).into_data()
        });
        parts
    });
    [encode, segment]
}

fn wait3(x: Tensor<3>) -> Tensor<3> {
    let _ = x.clone().into_data();
    x
}

/// Runs a part and adds its seconds.
fn time<T>(parts: &mut PartSeconds, name: &'static str, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = run();
    parts.push((name, start.elapsed().as_secs_f64()));
    result
}

fn median_of_parts(runs: usize, mut run: impl FnMut() -> PartSeconds) -> PartSeconds {
    run();
    let all: Vec<_> = (0..runs.max(1)).map(|_| run()).collect();
    let parts = all[0].iter().enumerate().map(|(index, (name, _))| {
        let mut times: Vec<f64> = all.iter().map(|parts| parts[index].1).collect();
        times.sort_by(f64::total_cmp);
        (*name, times[times.len() / 2])
    });
    parts.collect()
}

/// Time and memory of loading a checkpoint.
#[derive(Debug, Clone, Copy)]
pub struct LoadCost {
    /// From the first byte read to the model in place.
    pub seconds: f64,
    /// Bytes of the weights on disk.
    pub disk: u64,
    /// Bytes of the weights in f32.
    pub model: u64,
    /// The most bytes in use while it loads.
    pub peak: u64,
}

/// Loads a checkpoint on the CPU in f32.
pub fn load(checkpoint: &Path) -> Result<LoadCost, Box<dyn std::error::Error>> {
    let mut config = MllmsegConfig::from_dir(checkpoint)?;
    let cpu = device::cpu().device;
    let before = in_use();
    reset_peak();
    let start = Instant::now();
    let (model, report) = load_model(checkpoint, &mut config, LoadOptions::default(), &cpu)?;
    let seconds = start.elapsed().as_secs_f64();
    let peak = (peak_in_use() - before) as u64;
    let model = 4 * parameter_count(&model) as u64;
    Ok(LoadCost { seconds, disk: report.bytes as u64, model, peak })
}

/// Writes a checkpoint of drawn weights.
pub fn draw(config: &MllmsegConfig, out: &Path, dtype: DType) -> Result<(), CheckpointError> {
    let model = Mllmseg::new(config, None, &device::cpu().device);
    save_model(&model, config, None, out, SaveOptions { dtype, ..Default::default() })
}
