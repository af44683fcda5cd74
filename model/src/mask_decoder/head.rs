//! Eq. 8: convolution, pixel shuffle, convolution, and the sigmoid.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Initializer, PaddingConfig2d};
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::{Device, Int, Tensor};

use crate::axes::permute;

/// From features of patches to a probability for every pixel.
#[derive(Module, Debug)]
pub struct MaskHead {
    /// φ_k3, 3x3, `c -> patch²`.
    pub conv1: Conv2d,
    /// After `conv1`.
    pub norm: FrozenBatchNorm,
    /// φ_k5, 5x5 over the pixels, one channel.
    pub conv2: Conv2d,
    patch_size: usize,
}

/// Batch normalisation by stored statistics.
///
/// Burn's `BatchNorm` takes the statistics of the batch whenever gradients are recorded; here
/// that is a choice of the trainer, and the published training computes them over single images.
#[derive(Module, Debug)]
pub struct FrozenBatchNorm {
    /// Scale, `[channels]`.
    pub gamma: Param<Tensor<1>>,
    /// Shift, `[channels]`.
    pub beta: Param<Tensor<1>>,
    /// Mean of the training data, `[channels]`.
    pub running_mean: Param<Tensor<1>>,
    /// Variance of the training data, `[channels]`.
    pub running_var: Param<Tensor<1>>,
    /// How many batches the statistics are made of, `[1]`.
    pub num_batches_tracked: Param<Tensor<1, Int>>,
    epsilon: f64,
}

impl MaskHead {
    pub(super) fn new(width: usize, patch_size: usize, device: &Device) -> Self {
        let conv = |channels, kernel, padding| {
            Conv2dConfig::new(channels, [kernel, kernel])
                .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding))
                .with_initializer(Initializer::XavierUniform { gain: 1.0 })
                .init(device)
        };
        let pixels = patch_size * patch_size;
        Self {
            conv1: conv([width, pixels], 3, 1),
            norm: FrozenBatchNorm::new(pixels, device),
            conv2: conv([1, 1], 5, 2),
            patch_size,
        }
    }

    /// Starts from the same logit at every pixel, plus a blur of what the features say: a model from
    /// nothing then need not learn first that most of a picture is background.
    pub fn with_prior(mut self, logit: f64) -> Self {
        self.conv2.weight = self.conv2.weight.map(|weight| weight.ones_like() / 25.0); // 5 x 5
        self.conv2.bias = self.conv2.bias.map(|bias| bias.map(|bias| bias.full_like(logit)));
        self
    }

    /// # Shapes
    /// - `features`: `[n, p, c]`, output: probabilities `[n, side · patch, side · patch]`
    pub fn forward(&self, features: Tensor<3>) -> Tensor<3> {
        let [n, patches, width] = features.dims();
        let side = patches.isqrt();
        let map = features.swap_dims(1, 2).reshape([n, width, side, side]); // [n, c, g, g]
        let map = relu(self.norm.forward(self.conv1.forward(map))); // [n, patch², g, g]
        let pixels = pixel_shuffle(map, self.patch_size); // [n, 1, g patch, g patch]
        // The channel goes first: after a convolution to one channel, Burn 0.22.1 on GPUs fuses an
        // activation with its backward pass into wrong values (tracel-ai/burn#5122 is of the kind).
        sigmoid(self.conv2.forward(pixels).squeeze_dim(1)) // [n, g patch, g patch]
    }
}

/// Channel `factor · i + j` goes to pixel `(i, j)` of its square: one output channel.
///
/// # Shapes
/// - `x`: `[n, factor², h, w]`, output: `[n, 1, h · factor, w · factor]`
pub fn pixel_shuffle(x: Tensor<4>, factor: usize) -> Tensor<4> {
    let [n, _, height, width] = x.dims();
    let x = x.reshape([n, factor, factor, height, width]);
    let x = permute(x, [0, 3, 1, 4, 2]); // [n, h, i, w, j]
    x.reshape([n, 1, height * factor, width * factor])
}

impl FrozenBatchNorm {
    fn new(channels: usize, device: &Device) -> Self {
        let ones = || Initializer::Ones.init([channels], device);
        let zeros = || Initializer::Zeros.init([channels], device);
        Self {
            gamma: ones(),
            beta: zeros(),
            running_mean: zeros().set_require_grad(false),
            running_var: ones().set_require_grad(false),
            num_batches_tracked: Param::initialized(
                burn::module::ParamId::new(),
                Tensor::zeros([1], device),
            ),
            epsilon: 1e-5,
        }
    }

    /// # Shapes
    /// - `x`: `[n, channels, h, w]`, output: the same
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, channels, _, _] = x.dims();
        let scale = self.gamma.val() / (self.running_var.val() + self.epsilon).sqrt();
        let shift = self.beta.val() - self.running_mean.val() * scale.clone();
        x * scale.reshape([1, channels, 1, 1]) + shift.reshape([1, channels, 1, 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;

    /// 4 channels of a 1 x 2 map become a 2 x 4 image.
    #[test]
    fn pixels_of_a_square_are_its_channels() {
        let device = crate::test_device();
        let x = Tensor::<1, Int>::arange(0..8, &device).float().reshape([1, 4, 1, 2]);
        let expected = TensorData::from([[[[0., 2., 1., 3.], [4., 6., 5., 7.]]]]);
        pixel_shuffle(x, 2).into_data().assert_eq(&expected, false);
    }

    /// (3 - 1) / sqrt(4) · 2 + 5 = 7, to the epsilon.
    #[test]
    fn stored_statistics_normalise() {
        let device = crate::test_device();
        let mut norm = FrozenBatchNorm::new(1, &device);
        norm.gamma = Param::from_data([2.0], &device);
        norm.beta = Param::from_data([5.0], &device);
        norm.running_mean = Param::from_data([1.0], &device);
        norm.running_var = Param::from_data([4.0 - 1e-5], &device);
        let y = norm.forward(Tensor::<4>::from_data([[[[3.0]]]], &device));
        assert!((y.into_scalar::<f32>() - 7.0).abs() < 1e-5);
    }
}
