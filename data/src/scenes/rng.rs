//! Random numbers that are the same everywhere: xoshiro256** in plain integer arithmetic.

/// A stream of random numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rng {
    state: [u64; 4],
}

/// SplitMix64's output function: a bijection of 64 bits that leaves no trace of its input.
fn scramble(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Rng {
    /// The stream of (`seed`, `index`, `purpose`). The state holds seed and index side by side, so
    /// two different pairs never begin in the same state.
    pub(super) fn new(seed: u64, index: u64, purpose: u64) -> Self {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut rng = Self {
            state: [
                scramble(seed.wrapping_add(STEP)),
                scramble(index.wrapping_add(STEP.wrapping_mul(2))),
                scramble(seed ^ index.rotate_left(32)),
                scramble(purpose.wrapping_add(STEP.wrapping_mul(3))) | 1,
            ],
        };
        // Neighbouring seeds differ in one word only; a few steps spread that over all four.
        for _ in 0..8 {
            rng.next();
        }
        rng
    }

    /// 64 random bits.
    pub(super) fn next(&mut self) -> u64 {
        let s = &mut self.state;
        let output = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = s[3].rotate_left(45);
        output
    }

    /// A whole number below `bound` (0 if `bound` is 0), by the high half of a product; its bias is
    /// below 2^-32.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (((self.next() >> 32) * bound as u64) >> 32) as usize
    }

    /// A whole number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: i32, high: i32) -> i32 {
        low + self.below((high - low).max(0) as usize + 1) as i32
    }

    /// A number from 0 up to 1: a multiple of 2^-24, exact in f32.
    pub(super) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// A number from `low` up to `high`.
    pub(super) fn range(&mut self, low: f32, high: f32) -> f32 {
        low + self.unit() * (high - low)
    }

    /// True in `percent` of a hundred cases.
    pub(super) fn chance(&mut self, percent: u32) -> bool {
        (self.below(100) as u32) < percent
    }

    /// One item of a list that is not empty.
    pub(super) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first outputs from the state 1, 2, 3, 4, as the authors' C code gives them.
    #[test]
    fn outputs_are_those_of_xoshiro256_star_star() {
        let mut rng = Rng { state: [1, 2, 3, 4] };
        let first: Vec<u64> = (0..4).map(|_| rng.next()).collect();
        assert_eq!(first, [11520, 0, 1_509_978_240, 1_215_971_899_390_074_240]);
    }
}
