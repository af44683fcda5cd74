//! Eq. 10-12: DySample, upsampling by sampling at learned positions.

use burn::module::Module;
use burn::nn::Initializer;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::ops::{GridSampleOptions, GridSamplePaddingMode, InterpolateMode};
use burn::tensor::{Device, Tensor, TensorData};

use crate::axes::permute;

// ANCHOR: scope
/// The fixed factor α of Eq. 11 that keeps neighbouring samples from crossing.
const SCOPE: f64 = 0.25;
// ANCHOR_END: scope

/// Upsampling by `scale` with a learned offset for every output sample and channel group.
#[derive(Module, Debug)]
pub struct DySample {
    /// φ of Eq. 10, a 1x1 convolution `c -> 2 · groups · scale²`.
    pub offset: Conv2d,
    scale: usize,
    groups: usize,
}

impl DySample {
    pub(super) fn new(width: usize, scale: usize, groups: usize, device: &Device) -> Self {
        let offsets = 2 * groups * scale * scale;
        // The published module starts near plain bilinear upsampling: N(0, 0.001), no bias.
        let mut offset = Conv2dConfig::new([width, offsets], [1, 1])
            .with_initializer(Initializer::Normal { mean: 0.0, std: 0.001 })
            .init(device);
        offset.bias = Some(Initializer::Zeros.init([offsets], device));
        Self { offset, scale, groups }
    }

    /// The same for tokens instead of maps.
    ///
    /// # Shapes
    /// - `tokens`: `[b, g², c]`, output: `[b, (g · scale)², c]`
    pub fn forward_tokens(&self, tokens: Tensor<3>) -> Tensor<3> {
        let [batch, length, width] = tokens.dims();
        let side = length.isqrt();
        let map = tokens.swap_dims(1, 2).reshape([batch, width, side, side]); // [b, c, g, g]
        self.forward(map).flatten::<3>(2, 3).swap_dims(1, 2) // [b, (g scale)², c]
    }

    // ANCHOR: sample
    /// # Shapes
    /// - `x`: `[b, c, h, w]`, output: `[b, c, h · scale, w · scale]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, width, height, columns] = x.dims();
        let (scale, groups) = (self.scale, self.groups);
        let grid = self.sampling_grid(x.clone()); // [b · groups, h · scale, w · scale, 2]
        let options = GridSampleOptions::new(InterpolateMode::Bilinear)
            .with_padding_mode(GridSamplePaddingMode::Border)
            .with_align_corners(false);
        x.reshape([batch * groups, width / groups, height, columns]) // [b · groups, c / groups, h, w]
            .grid_sample_2d(grid, options) // Eq. 12
            .reshape([batch, width, height * scale, columns * scale]) // [b, c, h · scale, w · scale]
    }
    // ANCHOR_END: sample

    // ANCHOR: sampling_grid
    /// S of Eq. 11 in the coordinates of `grid_sample`: (column, row) in [-1, 1].
    ///
    /// # Shapes
    /// - output: `[b · groups, h · scale, w · scale, 2]`
    fn sampling_grid(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, _, height, width] = x.dims();
        let (scale, groups, device) = (self.scale, self.groups, x.device());
        let per_cell = scale * scale;
        // Channels of the offsets: (axis, group, row in the cell, column in the cell).
        let offset = self.offset.forward(x) * SCOPE; // [b, 2 · groups · scale², h, w], φ of Eq. 10
        let offset = offset.reshape([batch, 2, groups, per_cell, height, width]);
        // G of Eq. 11: the centres of the parts of a cell relative to its own (±0.25 for a scale of 2),
        // and the centres of the cells in pixels.
        let part = |i: usize| (i as f32 - (scale as f32 - 1.0) / 2.0) / scale as f32;
        let start = columns_and_rows(scale, scale, part, &device);
        let start = start.reshape([1, 2, 1, per_cell, 1, 1]);
        let centre = columns_and_rows(height, width, |i| i as f32 + 0.5, &device);
        let centre = centre.reshape([1, 2, 1, 1, height, width]);
        let size = Tensor::<1>::from_data([width as f32, height as f32], &device);
        let size = size.reshape([1, 2, 1, 1, 1, 1]);
        let position = (offset + start + centre) * 2.0 / size - 1.0; // [b, 2, groups, scale², h, w]
        // The PixelShuffle of Eq. 10, after the sum of Eq. 11 instead of before it: the same values.
        let position = position.reshape([batch * 2 * groups, scale, scale, height, width]); // [b · 2 · groups, row, column, h, w]
        let position = permute(position, [0, 3, 1, 4, 2]); // [b · 2 · groups, h, row, w, column]
        let position = position.reshape([batch, 2, groups, height * scale, width * scale]); // [b, 2, groups, h · scale, w · scale]
        permute(position, [0, 2, 3, 4, 1]) // [b, groups, h · scale, w · scale, 2]
            .reshape([batch * groups, height * scale, width * scale, 2]) // [b · groups, h · scale, w · scale, 2]
    }
    // ANCHOR_END: sampling_grid
}

/// A value of the column and of the row of every cell of a map, `[2, height · width]`.
fn columns_and_rows(
    height: usize,
    width: usize,
    value: impl Fn(usize) -> f32,
    device: &Device,
) -> Tensor<2> {
    let cells = 0..height * width;
    let places = cells.clone().map(|cell| cell % width).chain(cells.map(|cell| cell / width));
    let values: Vec<f32> = places.map(value).collect();
    Tensor::from_data(TensorData::new(values, [2, height * width]), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpolation::{Kernel, resize};
    use burn::tensor::{Distribution, Tolerance};

    /// Without offsets, the sampling points are those of bilinear upsampling.
    #[test]
    fn zero_offsets_are_bilinear_upsampling() {
        let device = crate::test_device();
        let mut sample = DySample::new(8, 2, 4, &device);
        sample.offset.weight = Initializer::Zeros.init([32, 8, 1, 1], &device);
        let x = Tensor::<4>::random([2, 8, 3, 5], Distribution::Normal(0.0, 1.0), &device);
        let expected = resize(x.clone(), [6, 10], Kernel::Bilinear).into_data();
        sample.forward(x).into_data().assert_approx_eq::<f32>(&expected, Tolerance::absolute(1e-5));
    }

    /// A bias of 4 on every column offset moves all samples by 4 · 0.25 = 1 pixel to the right.
    #[test]
    fn offsets_move_the_samples() {
        let device = crate::test_device();
        let mut sample = DySample::new(4, 2, 1, &device);
        sample.offset.weight = Initializer::Zeros.init([8, 4, 1, 1], &device);
        let bias = [4.0f32, 4.0, 4.0, 4.0, 0.0, 0.0, 0.0, 0.0];
        sample.offset.bias = Some(burn::module::Param::from_data(bias, &device));
        let x = Tensor::<4>::random([1, 4, 4, 4], Distribution::Normal(0.0, 1.0), &device);
        let up = resize(x.clone(), [8, 8], Kernel::Bilinear);
        // Moved by one input pixel, which is two output pixels.
        let expected = up.narrow(3, 2, 6).into_data();
        let moved = sample.forward(x).narrow(3, 0, 6).into_data();
        moved.assert_approx_eq::<f32>(&expected, Tolerance::absolute(1e-5));
    }
}
