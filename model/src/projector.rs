//! From vision patches to language tokens: space-to-depth, then the two-layer `mlp1`
//! (the input side of Eq. 2).

use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig};
use burn::tensor::{Device, Tensor};

use crate::config::{MllmsegConfig, PsVersion};
use crate::mlp::Mlp;

/// `mlp1`: LayerNorm, Linear, GELU, Linear over space-to-depth features.
#[derive(Module, Debug)]
pub struct Projector {
    norm: LayerNorm,
    mlp: Mlp,
    block: usize,
    transposed: bool,
}

impl Projector {
    /// Builds the projector of a configuration.
    pub fn new(config: &MllmsegConfig, device: &Device) -> Self {
        let block = config.tokens_per_side_ratio();
        let d_input = config.vision.hidden_size * block * block;
        let hidden_size = config.language.hidden_size;
        Self {
            // InternVL leaves PyTorch's default here, not the vision encoder's 1e-6.
            norm: LayerNormConfig::new(d_input).with_epsilon(1e-5).init(device),
            mlp: Mlp::new([d_input, hidden_size, hidden_size], device),
            block,
            transposed: config.ps_version == PsVersion::V1,
        }
    }

    // ANCHOR: projector
    /// Language tokens of an image.
    ///
    /// # Shapes
    /// - `image_tokens`: T_img1 `[b, p, c]`, patches row by row
    /// - output: `[b, l, d]` with `l = p / block²`
    pub fn forward(&self, image_tokens: Tensor<3>) -> Tensor<3> {
        let x = space_to_depth(image_tokens, self.block, self.transposed); // [b, l, block² c]
        self.mlp.forward(self.norm.forward(x)) // [b, l, d]
    }
    // ANCHOR_END: projector
}

// ANCHOR: space_to_depth
/// Folds each `block x block` square of patches into one token, channels in the order
/// (row in the square, column in the square, channel).
///
/// `transposed` is InternVL's `ps_version` "v1", which walks the squares column by column.
///
/// # Shapes
/// - `x`: `[b, side², c]`, output: `[b, (side / block)², block² c]`
pub fn space_to_depth(x: Tensor<3>, block: usize, transposed: bool) -> Tensor<3> {
    let [batch, patches, channels] = x.dims();
    let side = patches.isqrt();
    let out = side / block;
    let squares = x.reshape([batch, out, block, out, block, channels]).swap_dims(2, 3); // [b, row, column, row in, column in, c]
    let squares = if transposed { squares.swap_dims(1, 2) } else { squares };
    squares.reshape([batch, out * out, block * block * channels]) // [b, l, block² c]
}
// ANCHOR_END: space_to_depth

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Int, TensorData};

    #[test]
    fn squares_are_read_row_by_row() {
        let device = crate::test_device();
        // A 4 x 4 grid of one channel, numbered row by row.
        let grid = Tensor::<1, Int>::arange(0..16, &device).float().reshape([1, 16, 1]);
        let v2 = space_to_depth(grid.clone(), 2, false).into_data();
        let expected =
            [[[0., 1., 4., 5.], [2., 3., 6., 7.], [8., 9., 12., 13.], [10., 11., 14., 15.]]];
        v2.assert_eq(&TensorData::from(expected), false);
        let v1 = space_to_depth(grid, 2, true).into_data();
        let expected =
            [[[0., 1., 4., 5.], [8., 9., 12., 13.], [2., 3., 6., 7.], [10., 11., 14., 15.]]];
        v1.assert_eq(&TensorData::from(expected), false);
    }
}
