//! Random choices that depend on the seed and on their own number alone.
//!
//! Choice number 7 of seed 1 does not depend on whether the choices before it were made. So a run
//! resumes without the state of a generator, and steps may be prepared in any order.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// Stream number `index` of a seed.
    pub fn new(seed: u64, index: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(index);
        Self(generator)
    }

    /// A number below `n`, all equally likely (to one part in 2^64 / n); 0 where `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        // The high half of a 64 by 64 bit product.
        ((u128::from(self.0.next_u64()) * n as u128) >> 64) as usize
    }

    /// `count` different numbers below `n` in random order; all of them where there are fewer.
    pub fn choose(&mut self, n: usize, count: usize) -> Vec<usize> {
        let mut numbers: Vec<usize> = (0..n).collect();
        let count = count.min(n);
        for place in 0..count {
            let other = place + self.below(n - place);
            numbers.swap(place, other);
        }
        numbers.truncate(count);
        numbers
    }
}

/// The seed of the device for step number `step`: dropout depends on the seed of the run and on
/// the number of the step alone.
pub fn step_seed(seed: u64, step: usize) -> u64 {
    // Streams of examples are numbered from 0 up; this one is far from them.
    Draw::new(seed, u64::MAX - step as u64).0.next_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_depends_on_seed_and_number_alone() {
        let numbers = |seed, index| {
            let mut draw = Draw::new(seed, index);
            [draw.below(1000), draw.below(1000), draw.below(1000)]
        };
        assert_eq!(numbers(1, 7), numbers(1, 7));
        assert_ne!(numbers(1, 7), numbers(1, 8));
        assert_ne!(numbers(1, 7), numbers(2, 7));
        assert_ne!(step_seed(1, 7), step_seed(1, 8));
    }

    #[test]
    fn choices_are_uniform_and_different() {
        let mut counts = [0usize; 6];
        for index in 0..6000 {
            let chosen = Draw::new(3, index).choose(6, 2);
            assert_ne!(chosen[0], chosen[1]);
            chosen.into_iter().for_each(|number| counts[number] += 1);
        }
        // 2000 expected of each; five standard deviations are 183.
        assert!(counts.iter().all(|&count| count.abs_diff(2000) < 190), "{counts:?}");
        assert_eq!(Draw::new(0, 0).choose(3, 9).len(), 3);
        assert_eq!(Draw::new(0, 0).below(0), 0);
    }
}
