//! Benchmarks of the product at published sizes, with drawn weights.

use std::time::{Duration, Instant};

use burn::tensor::{Distribution, Tensor};
use mllmseg::device::SelectedDevice;
use mllmseg::model::mllmseg::token_tensor;
use mllmseg::model::{Mllmseg, MllmsegConfig};

/// Tokens of the system text and the header before the image, in InternVL2.5's template.
const TOKENS_BEFORE_IMAGE: usize = 45;
/// Tokens after `</img>` up to [SEG], for an expression of five words.
const TOKENS_AFTER_IMAGE: usize = 35;

/// What one image and one expression cost.
#[derive(Debug, Clone, Copy)]
pub struct SessionCost {
    /// Everything that no expression changes.
    pub encode: Duration,
    /// One expression on an encoded image.
    pub segment: Duration,
}

impl SessionCost {
    /// How many times less a further expression costs than the first.
    pub fn ratio(&self) -> f64 {
        (self.encode + self.segment).as_secs_f64() / self.segment.as_secs_f64()
    }
}

/// Times encoding an image and segmenting one expression; the median of `runs` each, after one
/// of each that is not counted.
pub fn session(config: &MllmsegConfig, device: &SelectedDevice, runs: usize) -> SessionCost {
    let model = Mllmseg::new(config, None, &device.device);
    let size = config.image_size;
    let distribution = Distribution::Normal(0.0, 1.0);
    let pixels = Tensor::<4>::random([1, 3, size, size], distribution, &device.device);
    let prefix_length = TOKENS_BEFORE_IMAGE + config.num_image_tokens() + 1;
    let prefix: Vec<u32> = (0..prefix_length as u32).collect();
    let prefix = token_tensor(&[&prefix], 0, &device.device);
    let question: Vec<u32> = (0..TOKENS_AFTER_IMAGE as u32).collect();
    let question = token_tensor(&[&question], 0, &device.device);

    let encode = || {
        let state = model.encode_prefix(pixels.clone(), prefix.clone(), TOKENS_BEFORE_IMAGE);
        // Wait for the device: nothing is computed until it is read.
        let _ = state.decoder.attended.clone().sum().into_data();
        state
    };
    let state = encode();
    let segment = || {
        let hidden = model.read_on(question.clone(), &mut state.cache.clone());
        let seg_token = hidden.narrow(1, TOKENS_AFTER_IMAGE - 1, 1); // [1, 1, d]
        let rejected = model.language_model.logits(seg_token.clone()).argmax(2);
        let masks = model.mask_decoder.segment(&state.decoder, seg_token);
        let _ = (rejected.into_data(), masks.into_data());
    };
    segment();
    SessionCost {
        encode: median(runs, || drop(encode())),
        segment: median(runs, segment),
    }
}

fn median(runs: usize, mut run: impl FnMut()) -> Duration {
    let mut times: Vec<_> = (0..runs.max(1))
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}
