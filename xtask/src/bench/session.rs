//! The work of a session at published sizes, with drawn weights.

use burn::tensor::{Distribution, Int, Tensor};
use mllmseg::device::SelectedDevice;
use mllmseg::model::mllmseg::{SegToken, token_tensor};
use mllmseg::model::{Mllmseg, MllmsegConfig, PrefixState};

use super::clock::Clock;

/// Tokens of the system text and the header before the image, in InternVL2.5's template.
pub const TOKENS_BEFORE_IMAGE: usize = 45;
/// Tokens after `</img>` up to `[SEG]`, for an expression of five words.
pub const TOKENS_AFTER_IMAGE: usize = 35;

/// Seconds of each part of a computation, by name.
pub type PartSeconds = Vec<(&'static str, f64)>;

/// Seconds of everything, once.
pub struct Round {
    /// What no expression changes.
    pub encode: PartSeconds,
    /// One expression.
    pub expression: PartSeconds,
    /// Sixteen expressions in one call.
    pub sixteen: f64,
}

/// Expressions of one call are computed in batches of so many, as `ImageSession` does.
const BATCH: usize = 8;

/// A model, an image, and the tokens of a prompt.
pub struct Session {
    model: Mllmseg,
    pixels: Tensor<4>,
    prefix: Tensor<2, Int>,
    questions: Tensor<2, Int>,
    clock: Clock,
}

impl Session {
    pub fn new(
        model: Mllmseg,
        config: &MllmsegConfig,
        device: &SelectedDevice,
        clock: Clock,
    ) -> Self {
        let device = &device.device;
        let size = config.image_size;
        let distribution = Distribution::Normal(0.0, 1.0);
        let ids = |rows: usize, length: usize| {
            let ids: Vec<u32> = (0..length as u32).collect();
            token_tensor(&vec![&*ids; rows], 0, device)
        };
        Self {
            model,
            pixels: Tensor::random([1, 3, size, size], distribution, device),
            prefix: ids(1, TOKENS_BEFORE_IMAGE + config.num_image_tokens() + 1),
            questions: ids(BATCH, TOKENS_AFTER_IMAGE),
            clock,
        }
    }

    /// Computes everything once. The result of a part is read back, since devices compute in the
    /// background.
    pub fn round(&self) -> Round {
        let model = &self.model;
        let mut encode = PartSeconds::new();
        let image =
            self.time(&mut encode, "vision", || wait(model.encode_image(self.pixels.clone())));
        let state = self.time(&mut encode, "the rest", || {
            let prefix = self.prefix.clone();
            let state = model.encode_prefix(image, prefix, TOKENS_BEFORE_IMAGE);
            wait(state.decoder.attended.clone());
            state
        });
        let expression = self.expressions(&state, 1);
        let start = self.clock.seconds();
        (0..16 / BATCH).for_each(|_| drop(self.expressions(&state, BATCH)));
        Round { encode, expression, sixteen: self.clock.seconds() - start }
    }

    fn expressions(&self, state: &PrefixState, count: usize) -> PartSeconds {
        let model = &self.model;
        let mut parts = PartSeconds::new();
        let ids = self.questions.clone().narrow(0, 0, count);
        let hidden = self.time(&mut parts, "language model", || {
            wait(model.forward_cached(ids, &mut state.cache.expand(count))) // [n, t, d]
        });
        let segmented = self.time(&mut parts, "mask decoder", || {
            let start = state.cache.length();
            let position = start + TOKENS_AFTER_IMAGE;
            let seg = |row| SegToken { row, position, image: 0 };
            let segs: Vec<_> = (0..count).map(seg).collect();
            let segmented = model.segment(&state.decoder, &hidden, start, &segs);
            wait(segmented.masks.clone());
            segmented
        });
        self.time(&mut parts, "vocabulary", || {
            model.language_model.predicted_ids(segmented.seg_tokens).into_data()
        });
        parts
    }

    /// Runs a part and adds its seconds.
    fn time<T>(&self, parts: &mut PartSeconds, name: &'static str, run: impl FnOnce() -> T) -> T {
        let start = self.clock.seconds();
        let result = run();
        parts.push((name, self.clock.seconds() - start));
        result
    }
}

fn wait(x: Tensor<3>) -> Tensor<3> {
    let _ = x.clone().into_data();
    x
}
