//! Patches to tokens, with a class token and learned positions.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Tensor};

use crate::axes::permute;
use crate::config::VisionConfig;
use crate::interpolation::{Kernel, resize};

/// The input layer of InternViT.
#[derive(Module, Debug)]
pub struct VisionEmbeddings {
    /// `[1, 1, c]`
    class_embedding: Param<Tensor<3>>,
    /// `[1, 1 + g², c]`, where `g` is the grid that it was trained with.
    pub(crate) position_embedding: Param<Tensor<3>>,
    patch_embedding: Conv2d,
    /// Patches per side of the input images.
    pub(crate) grid: usize,
}

impl VisionEmbeddings {
    pub(super) fn new(config: &VisionConfig, grid: usize, device: &Device) -> Self {
        let (width, patch) = (config.hidden_size, config.patch_size);
        let trained_grid = config.image_size / patch;
        let normal = Initializer::Normal { mean: 0.0, std: 0.02 };
        Self {
            class_embedding: normal.init([1, 1, width], device),
            position_embedding: normal.init([1, 1 + trained_grid.pow(2), width], device),
            patch_embedding: Conv2dConfig::new([3, width], [patch, patch])
                .with_stride([patch, patch])
                .init(device),
            grid,
        }
    }

    // ANCHOR: patch_tokens
    /// # Shapes
    /// - `pixels`: `[b, 3, h, w]`, output: `[b, 1 + p, c]`
    pub(super) fn forward(&self, pixels: Tensor<4>) -> Tensor<3> {
        let [batch, ..] = pixels.dims();
        let patches = self.patch_embedding.forward(pixels); // [b, c, h / patch, w / patch]
        let patches = patches.flatten::<3>(2, 3).swap_dims(1, 2); // [b, p, c]
        let [_, _, width] = patches.dims();
        let class = self.class_embedding.val().expand([batch, 1, width]); // [b, 1, c]
        Tensor::cat(vec![class, patches], 1) + self.positions() // [b, 1 + p, c]
    }
    // ANCHOR_END: patch_tokens

    /// Positions for the input's grid, resized bicubically when it is not the trained one.
    fn positions(&self) -> Tensor<3> {
        let positions = self.position_embedding.val(); // [1, 1 + g², c]
        let [_, length, width] = positions.dims();
        let trained = (length - 1).isqrt();
        if trained == self.grid {
            return positions;
        }
        let class = positions.clone().narrow(1, 0, 1); // [1, 1, c]
        let map = positions.narrow(1, 1, length - 1).reshape([1, trained, trained, width]); // [1, g, g, c]
        let map = permute(map, [0, 3, 1, 2]); // [1, c, g, g]
        let map = resize(map, [self.grid, self.grid], Kernel::Bicubic); // [1, c, grid, grid]
        let map = map.flatten::<3>(2, 3).swap_dims(1, 2); // [1, p, c]
        Tensor::cat(vec![class, map], 1) // [1, 1 + p, c]
    }
}
