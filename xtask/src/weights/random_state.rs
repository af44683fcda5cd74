//! numpy's legacy `RandomState`, as far as the weights need it.
//!
//! numpy keeps this stream frozen (NEP 19), which is why the weights are drawn from it and not
//! from a newer generator.

use rand_mt::Mt;

/// `numpy.random.RandomState(seed)`: MT19937 seeded by its authors' `init_genrand`.
pub struct RandomState {
    twister: Mt,
    /// The second value of the last polar pair, which the next call returns.
    spare: Option<f64>,
}

impl RandomState {
    pub fn new(seed: u32) -> Self {
        Self { twister: Mt::new(seed), spare: None }
    }

    /// Uniform on `[0, 1)` with 53 bits of resolution: 27 from one draw and 26 from the next.
    pub fn random_sample(&mut self) -> f64 {
        let high = self.twister.next_u32() >> 5;
        let low = self.twister.next_u32() >> 6;
        (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0
    }

    /// A standard normal draw by Marsaglia's polar method, two at a time.
    ///
    /// `ln` is the platform's; an implementation whose last bit differs from numpy's still gives
    /// the same `f32` but for about one draw in 2^29.
    pub fn standard_normal(&mut self) -> f64 {
        if let Some(value) = self.spare.take() {
            return value;
        }
        loop {
            let x = 2.0 * self.random_sample() - 1.0;
            let y = 2.0 * self.random_sample() - 1.0;
            let square = x * x + y * y;
            if square < 1.0 && square != 0.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.spare = Some(factor * x);
                return factor * y;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// numpy 2.4.6: `r = RandomState(42); r.standard_normal(5); r.random_sample()`. The odd count
    /// leaves a spare normal, which `random_sample` must not consume.
    #[test]
    fn draws_equal_numpys() {
        let mut random = RandomState::new(42);
        let normals = [
            0.4967141530112327,
            -0.13826430117118466,
            0.6476885381006925,
            1.5230298564080254,
            -0.23415337472333597,
        ];
        for expected in normals {
            assert_eq!(random.standard_normal(), expected);
        }
        assert_eq!(random.random_sample(), 0.05808361216819946);
    }
}
