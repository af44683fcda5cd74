//! The work of a session at published sizes, with drawn weights.

use std::error::Error;

use burn::tensor::{Distribution, Int, Tensor};
use mllmseg::model::mllmseg::{SegToken, token_tensor};
use mllmseg::model::{Mllmseg, PrefixState};

use super::clock::{Clock, Parts};
use super::rounds::Rounds;
use super::setting::Setting;
use crate::drawn::{TOKENS_AFTER_IMAGE, TOKENS_BEFORE_IMAGE};

/// Expressions of one call are computed in batches of so many, as `ImageSession` does.
pub const BATCH: usize = 8;

/// A model, an image, and the tokens of a prompt.
pub struct Session {
    pub model: Mllmseg,
    pixels: Tensor<4>,
    prefix: Tensor<2, Int>,
    questions: Tensor<2, Int>,
    clock: Clock,
}

impl Session {
    pub fn new(model: Mllmseg, setting: &Setting) -> Self {
        let Setting { config, device, clock, .. } = setting;
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
            clock: *clock,
        }
    }

    /// What no expression changes. The result of a part is read back, since devices compute in the
    /// background.
    pub fn encode(&self, parts: &mut Parts) -> PrefixState {
        let model = &self.model;
        let image =
            self.clock.time(parts, "vision", || wait(model.encode_image(self.pixels.clone())));
        self.clock.time(parts, "prefix", || {
            let prefix = self.prefix.clone();
            let state = model.encode_prefix(image, prefix, TOKENS_BEFORE_IMAGE);
            wait(state.decoder.attended.clone());
            state
        })
    }

    /// The tokens of some expressions, `[count, t]`.
    pub fn questions(&self, count: usize) -> Tensor<2, Int> {
        self.questions.clone().narrow(0, 0, count)
    }

    /// Some expressions in one pass.
    pub fn expressions(&self, state: &PrefixState, count: usize, parts: &mut Parts) {
        let (model, clock) = (&self.model, self.clock);
        let hidden = clock.time(parts, "continuation", || {
            wait(model.forward_cached(self.questions(count), &mut state.cache.expand(count))) // [n, t, d]
        });
        let segmented = clock.time(parts, "mask decoder", || {
            let start = state.cache.length();
            let position = start + TOKENS_AFTER_IMAGE;
            let seg = |row| SegToken { row, position, image: 0 };
            let segs: Vec<_> = (0..count).map(seg).collect();
            let segmented = model.segment(&state.decoder, &hidden, start, &segs);
            wait(segmented.masks.clone());
            segmented
        });
        clock.time(parts, "vocabulary", || {
            model.language_model.predicted_ids(segmented.seg_tokens).into_data()
        });
    }
}

impl Rounds for Session {
    fn round(&mut self) -> Result<Parts, Box<dyn Error>> {
        let mut parts = Parts::new();
        let state = self.encode(&mut parts);
        self.expressions(&state, 1, &mut parts);
        self.clock.time(&mut parts, "sixteen", || {
            (0..16 / BATCH).for_each(|_| self.expressions(&state, BATCH, &mut Parts::new()));
        });
        Ok(parts)
    }
}

fn wait(x: Tensor<3>) -> Tensor<3> {
    let _ = x.clone().into_data();
    x
}
