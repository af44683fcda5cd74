//! Rotary position embeddings in NeoX style: dimension `i` is rotated with dimension `i + d/2`.
//! Burn's own `RotaryEncoding` rotates neighbouring dimensions, which is another convention.

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::config::{LanguageConfig, RopeScaling};

/// The rotary frequencies of a model and their scaling.
#[derive(Module, Debug)]
pub struct Rope {
    head_dim: usize,
    theta: f64,
    max_position_embeddings: usize,
    linear_factor: f64,
    dynamic_factor: Option<f64>,
}

/// Cosines and sines of consecutive positions, each `[t, head_dim / 2]`.
#[derive(Debug, Clone)]
pub struct Rotation {
    cos: Tensor<2>,
    sin: Tensor<2>,
}

impl Rope {
    pub(super) fn new(config: &LanguageConfig) -> Self {
        let (linear_factor, dynamic_factor) = match config.rope_scaling {
            RopeScaling::None => (1.0, None),
            RopeScaling::Linear(factor) => (factor, None),
            RopeScaling::Dynamic(factor) => (1.0, Some(factor)),
        };
        Self {
            head_dim: config.head_dim(),
            theta: config.rope_theta,
            max_position_embeddings: config.max_position_embeddings,
            linear_factor,
            dynamic_factor,
        }
    }

    /// Whether the rotation of early positions changes with the length of the whole sequence, so
    /// that keys of a prefix cannot be kept for continuations of different lengths.
    pub fn depends_on_length(&self, total_length: usize) -> bool {
        self.dynamic_factor.is_some() && total_length > self.max_position_embeddings
    }

    /// The base of the frequencies for a sequence of this length.
    fn base(&self, total_length: usize) -> f64 {
        match self.dynamic_factor {
            Some(factor) if self.depends_on_length(total_length) => {
                let stretch = factor * total_length as f64 / self.max_position_embeddings as f64;
                let dim = self.head_dim as f64;
                self.theta * (stretch - (factor - 1.0)).powf(dim / (dim - 2.0))
            }
            _ => self.theta,
        }
    }

    /// The rotation of positions `start .. start + length` in a sequence of `total_length`.
    pub(super) fn rotation(
        &self,
        start: usize,
        length: usize,
        total_length: usize,
        device: &Device,
        dtype: DType,
    ) -> Rotation {
        let half = self.head_dim / 2;
        let base = self.base(total_length);
        // Angles are rounded to f32 where PyTorch rounds them: frequency, then product.
        let frequency = |i: usize| base.powf(-((2 * i) as f64) / self.head_dim as f64) as f32;
        let frequencies: Vec<f32> = (0..half).map(frequency).collect();
        let angles: Vec<f32> = (start..start + length)
            .map(|position| (position as f64 / self.linear_factor) as f32)
            .flat_map(|position| frequencies.iter().map(move |frequency| position * frequency))
            .collect();
        let table = |of: fn(f64) -> f64| {
            let values: Vec<f32> = angles.iter().map(|&angle| of(angle as f64) as f32).collect();
            Tensor::<2>::from_data(TensorData::new(values, [length, half]), device).cast(dtype)
        };
        Rotation { cos: table(f64::cos), sin: table(f64::sin) }
    }
}

impl Rotation {
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

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Tolerance;

    fn rope(scaling: RopeScaling) -> Rope {
        let mut config = crate::Preset::Tiny.config().language;
        (config.hidden_size, config.num_attention_heads) = (8, 2);
        (config.rope_theta, config.rope_scaling) = (100.0, scaling);
        config.max_position_embeddings = 10;
        Rope::new(&config)
    }

    /// With a head of 4 and theta 100 the frequencies are 1 and 0.1; position 2 rotates (1, 0 | 0, 1)
    /// to (cos 2, -sin 0.2 | sin 2, cos 0.2).
    #[test]
    fn halves_rotate_together() {
        let device = crate::test_device();
        let rotation = rope(RopeScaling::None).rotation(2, 1, 3, &device, DType::F32);
        let x = Tensor::<4>::from_data([[[[1.0, 0.0, 0.0, 1.0]]]], &device);
        let expected = [2f64.cos(), -0.2f64.sin(), 2f64.sin(), 0.2f64.cos()].map(|x| x as f32);
        let rotated = rotation.apply(x).into_data();
        rotated.assert_approx_eq::<f32>(&[[[expected]]].into(), Tolerance::absolute(1e-6));
    }

    #[test]
    fn linear_scaling_divides_positions() {
        let device = crate::test_device();
        let plain = rope(RopeScaling::None).rotation(3, 1, 4, &device, DType::F32);
        let scaled = rope(RopeScaling::Linear(2.0)).rotation(6, 1, 7, &device, DType::F32);
        let plain = plain.cos.into_data();
        scaled.cos.into_data().assert_approx_eq::<f32>(&plain, Tolerance::absolute(1e-6));
    }

    /// At 20 of 10 positions and factor 2 the base grows by (4 - 1)^(4 / 2) = 9.
    #[test]
    fn dynamic_scaling_starts_beyond_the_trained_length() {
        let rope = rope(RopeScaling::Dynamic(2.0));
        assert!(!rope.depends_on_length(10) && rope.depends_on_length(11));
        assert_eq!(rope.base(10), 100.0);
        assert!((rope.base(20) - 900.0).abs() < 1e-9);
    }
}
