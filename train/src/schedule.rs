//! The learning rate: linear warm-up, then half a cosine down to zero.

use std::f64::consts::PI;

/// The published schedule, `get_cosine_schedule_with_warmup` of Hugging Face's transformers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WarmupCosine {
    /// The highest learning rate, at the end of the warm-up.
    pub peak: f64,
    /// Steps of the warm-up.
    pub warmup_steps: usize,
    /// All steps, the warm-up among them.
    pub total_steps: usize,
}

impl WarmupCosine {
    /// Warms up for a share of all steps, rounded up as transformers does (published: 0.03).
    pub fn with_warmup_ratio(peak: f64, total_steps: usize, ratio: f64) -> Self {
        let warmup_steps = (total_steps as f64 * ratio).ceil() as usize;
        Self { peak, warmup_steps, total_steps }
    }

    /// The learning rate of a step, counted from 0. The first step of a warm-up has rate 0, and
    /// every step past the last one too.
    pub fn learning_rate(&self, step: usize) -> f64 {
        if step < self.warmup_steps {
            return self.peak * step as f64 / self.warmup_steps as f64;
        }
        let descent = self.total_steps.saturating_sub(self.warmup_steps).max(1);
        let progress = ((step - self.warmup_steps) as f64 / descent as f64).min(1.0);
        self.peak * 0.5 * (1.0 + (PI * progress).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-15, "{found} is not {expected}");
    }

    /// 3 % of 1000 are 30 steps; the cosine then takes 970, a quarter of which are 242.5.
    #[test]
    fn values_by_hand() {
        let schedule = WarmupCosine::with_warmup_ratio(4e-5, 1000, 0.03);
        assert_eq!(schedule.warmup_steps, 30);
        assert_close(schedule.learning_rate(0), 0.0);
        assert_close(schedule.learning_rate(15), 2e-5);
        assert_close(schedule.learning_rate(30), 4e-5);
        assert_close(schedule.learning_rate(515), 2e-5); // half way: cos(pi / 2) = 0
        assert_close(schedule.learning_rate(1000), 0.0);
        assert_close(schedule.learning_rate(2000), 0.0);
    }

    /// A third of the way down, 0.5 (1 + cos(pi / 3)) = 0.75.
    #[test]
    fn without_warmup_it_starts_at_the_peak() {
        let schedule = WarmupCosine::with_warmup_ratio(1.0, 3, 0.0);
        assert_close(schedule.learning_rate(0), 1.0);
        assert_close(schedule.learning_rate(1), 0.75);
        assert_close(schedule.learning_rate(2), 0.25);
    }

    #[test]
    fn no_steps_are_no_division_by_zero() {
        let schedule = WarmupCosine::with_warmup_ratio(1.0, 0, 0.03);
        assert_close(schedule.learning_rate(0), 1.0);
        assert_close(schedule.learning_rate(1), 0.0);
    }

    /// ceil(0.03 · 101) = 4.
    #[test]
    fn the_warmup_is_rounded_up() {
        assert_eq!(WarmupCosine::with_warmup_ratio(1.0, 101, 0.03).warmup_steps, 4);
    }
}
