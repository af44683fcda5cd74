//! Random numbers that are the same everywhere.

use rand_xoshiro::rand_core::{RngCore, SeedableRng};
use rand_xoshiro::{SplitMix64, Xoshiro256StarStar};

/// A stream of random numbers: xoshiro256**, with our own seeding and our own conversions, which
/// files on disk depend on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rng(Xoshiro256StarStar);

impl Rng {
    /// The stream of (`seed`, `index`, `purpose`). The state holds seed and index side by side, so
    /// two different pairs never start in the same state.
    pub(crate) fn new(seed: u64, index: u64, purpose: u64) -> Self {
        // The constant that SplitMix64 adds before it scrambles.
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let scramble = |number: u64, steps: u64| {
            let before = number.wrapping_add(STEP.wrapping_mul(steps)).wrapping_sub(STEP);
            SplitMix64::from_seed(before.to_le_bytes()).next_u64()
        };
        let words = [
            scramble(seed, 1),
            scramble(index, 2),
            scramble(seed ^ index.rotate_left(32), 0),
            scramble(purpose, 3) | 1,
        ];
        let mut state = [0; 32];
        for (bytes, word) in state.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let mut rng = Self(Xoshiro256StarStar::from_seed(state));
        // Neighbouring seeds differ in one word only; a few steps spread that over all four.
        for _ in 0..8 {
            rng.next();
        }
        rng
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// An integer below `bound` (0 if `bound` is 0), by the high half of a product; its bias is below
    /// 2^-32.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (((self.next() >> 32) * bound as u64) >> 32) as usize
    }

    /// An integer from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: i32, high: i32) -> i32 {
        low + self.below((high - low).max(0) as usize + 1) as i32
    }

    /// A count from `low` to `high`, both included; `low` if `high` is less.
    pub(crate) fn count(&mut self, [low, high]: [usize; 2]) -> usize {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// A number in [`low`, `high`): `low` plus a multiple of 2^-24 of the difference.
    pub(crate) fn range(&mut self, low: f32, high: f32) -> f32 {
        let unit = (self.next() >> 40) as f32 / (1u32 << 24) as f32;
        low + unit * (high - low)
    }

    /// True in `percent` of a hundred cases.
    pub(crate) fn chance(&mut self, percent: u32) -> bool {
        (self.below(100) as u32) < percent
    }

    /// One item of a list that is not empty.
    pub(crate) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}
