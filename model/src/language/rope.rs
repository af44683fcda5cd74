//! Rotary position embeddings in NeoX style: dimension `i` is rotated with dimension `i + d/2`.
//! Burn's own `RotaryEncoding` rotates neighbouring dimensions, which is another convention.

use std::ops::Range;

use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::config::{LanguageConfig, RopeScaling};

/// Cosines and sines of consecutive positions, each `[t, head_dim / 2]`.
#[derive(Debug, Clone)]
pub struct Rotation {
    cos: Tensor<2>,
    sin: Tensor<2>,
}

impl Rotation {
    /// The rotation of some positions in a sequence of `total_length`.
    pub(super) fn new(
        config: &LanguageConfig,
        positions: Range<usize>,
        total_length: usize,
        device: &Device,
        dtype: DType,
    ) -> Self {
        let head_dim = config.hidden_size / config.num_attention_heads;
        let shape = [positions.len(), head_dim / 2];
        let base = base(config, head_dim as f64, total_length);
        let divisor = match config.rope_scaling {
            RopeScaling::Linear(factor) => factor,
            RopeScaling::None | RopeScaling::Dynamic(_) => 1.0,
        };
        // Angles are rounded to f32 where PyTorch rounds them: frequency, then product.
        let frequency = |i: usize| base.powf(-((2 * i) as f64) / head_dim as f64) as f32;
        let frequencies: Vec<f32> = (0..head_dim / 2).map(frequency).collect();
        let positions = positions.map(|position| (position as f64 / divisor) as f32);
        let angles: Vec<f32> = positions
            .flat_map(|at| frequencies.iter().map(move |frequency| at * frequency))
            .collect();
        let table = |of: fn(f64) -> f64| {
            let values: Vec<f32> = angles.iter().map(|&angle| of(angle as f64) as f32).collect();
            Tensor::<2>::from_data(TensorData::new(values, shape), device).cast(dtype)
        };
        Self { cos: table(f64::cos), sin: table(f64::sin) }
    }

    /// Rotates queries or keys.
    ///
    /// # Shapes
    /// - `x`: `[b, heads, t, head_dim]`, output: the same
    pub(super) fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, _, head_dim] = x.dims();
        let (cos, sin) = (self.cos.clone().unsqueeze(), self.sin.clone().unsqueeze()); // [1, 1, t, head_dim / 2]
        let first = x.clone().narrow(3, 0, head_dim / 2); // [b, heads, t, head_dim / 2]
        let second = x.narrow(3, head_dim / 2, head_dim / 2); // [b, heads, t, head_dim / 2]
        let rotated = first.clone() * cos.clone() - second.clone() * sin.clone();
        Tensor::cat(vec![rotated, second * cos + first * sin], 3) // [b, heads, t, head_dim]
    }
}

/// The base of the frequencies for a sequence of this length.
fn base(config: &LanguageConfig, head_dim: f64, total_length: usize) -> f64 {
    match config.rope_scaling {
        RopeScaling::Dynamic(factor) if config.rope_depends_on_length(total_length) => {
            let stretch = factor * total_length as f64 / config.max_position_embeddings as f64;
            config.rope_theta * (stretch - (factor - 1.0)).powf(head_dim / (head_dim - 2.0))
        }
        _ => config.rope_theta,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Tolerance;

    fn config(scaling: RopeScaling) -> LanguageConfig {
        let mut config = crate::Preset::Tiny.config().language;
        (config.hidden_size, config.num_attention_heads) = (8, 2);
        (config.rope_theta, config.rope_scaling) = (100.0, scaling);
        config.max_position_embeddings = 10;
        config
    }

    fn rotation(scaling: RopeScaling, position: usize) -> Rotation {
        let (at, device) = (position..position + 1, crate::test_device());
        Rotation::new(&config(scaling), at, position + 1, &device, DType::F32)
    }

    /// With a head of 4 and theta 100 the frequencies are 1 and 0.1; position 2 rotates (1, 0 | 0, 1)
    /// to (cos 2, -sin 0.2 | sin 2, cos 0.2).
    #[test]
    fn halves_rotate_together() {
        let x = Tensor::<4>::from_data([[[[1.0, 0.0, 0.0, 1.0]]]], &crate::test_device());
        let expected = [2f64.cos(), -0.2f64.sin(), 2f64.sin(), 0.2f64.cos()].map(|x| x as f32);
        let rotated = rotation(RopeScaling::None, 2).apply(x).into_data();
        rotated.assert_approx_eq::<f32>(&[[[expected]]].into(), Tolerance::absolute(1e-6));
    }

    #[test]
    fn linear_scaling_divides_positions() {
        let plain = rotation(RopeScaling::None, 3).cos.into_data();
        let scaled = rotation(RopeScaling::Linear(2.0), 6).cos.into_data();
        scaled.assert_approx_eq::<f32>(&plain, Tolerance::absolute(1e-6));
    }

    /// At 20 of 10 positions and factor 2 the base grows by (4 - 1)^(4 / 2) = 9.
    #[test]
    fn dynamic_scaling_starts_beyond_the_trained_length() {
        let config = config(RopeScaling::Dynamic(2.0));
        assert!(!config.rope_depends_on_length(10) && config.rope_depends_on_length(11));
        assert_eq!(base(&config, 4.0, 10), 100.0);
        assert!((base(&config, 4.0, 20) - 900.0).abs() < 1e-9);
    }
}
