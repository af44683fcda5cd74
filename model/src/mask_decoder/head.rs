//! Eq. 8: convolution, pixel shuffle, convolution, and the sigmoid.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Initializer, PaddingConfig2d};
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::{Device, Tensor};

use super::batch_norm::{BatchNorm, BatchStatistics};
use crate::axes::permute;

/// From features of patches to a probability for every pixel.
#[derive(Module, Debug)]
pub struct MaskHead {
    /// φ_k3, 3x3, `c -> patch²`.
    pub conv1: Conv2d,
    /// After `conv1`.
    pub norm: BatchNorm,
    /// φ_k5, 5x5 over the pixels, one channel.
    pub conv2: Conv2d,
    patch_size: usize,
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
            norm: BatchNorm::new(pixels, device),
            conv2: conv([1, 1], 5, 2),
            patch_size,
        }
    }

    // ANCHOR: head
    /// Probabilities, and in training the statistics of each conversation.
    ///
    /// # Shapes
    /// - `features`: `[n, p, c]`, output: `[n, side · patch, side · patch]`
    /// - `conversations`: how many of the `n` masks belong to each
    pub fn forward(
        &self,
        features: Tensor<3>,
        conversations: &[usize],
    ) -> (Tensor<3>, Vec<BatchStatistics>) {
        let [n, patches, width] = features.dims();
        let side = patches.isqrt();
        let map = features.swap_dims(1, 2).reshape([n, width, side, side]); // [n, c, g, g]
        let (map, statistics) = self.norm.forward(self.conv1.forward(map), conversations);
        let pixels = pixel_shuffle(relu(map), self.patch_size); // [n, 1, g patch, g patch]
        // The channel is removed first: Burn 0.22.1 on GPUs fuses an activation after a convolution to
        // one channel with its backward pass, into wrong values (as in tracel-ai/burn#5122).
        let masks = sigmoid(self.conv2.forward(pixels).squeeze_dim(1)); // [n, g patch, g patch]
        (masks, statistics)
    }
    // ANCHOR_END: head
}

// ANCHOR: pixel_shuffle
/// Channel `factor · i + j` goes to pixel `(i, j)` of its square: one output channel. Burn's own
/// `PixelShuffle` permutes five axes at once, which does not reach remote devices ([`permute`]).
///
/// # Shapes
/// - `x`: `[n, factor², h, w]`, output: `[n, 1, h · factor, w · factor]`
pub fn pixel_shuffle(x: Tensor<4>, factor: usize) -> Tensor<4> {
    let [n, _, height, width] = x.dims();
    let x = x.reshape([n, factor, factor, height, width]); // [n, i, j, h, w]
    let x = permute(x, [0, 3, 1, 4, 2]); // [n, h, i, w, j]
    x.reshape([n, 1, height * factor, width * factor]) // [n, 1, h factor, w factor]
}
// ANCHOR_END: pixel_shuffle

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Int, TensorData};

    /// 4 channels of a 1 x 2 map become a 2 x 4 image.
    #[test]
    fn pixels_of_a_square_are_its_channels() {
        let device = crate::test_device();
        let x = Tensor::<1, Int>::arange(0..8, &device).float().reshape([1, 4, 1, 2]);
        let expected = TensorData::from([[[[0., 2., 1., 3.], [4., 6., 5., 7.]]]]);
        pixel_shuffle(x, 2).into_data().assert_eq(&expected, false);
    }
}
