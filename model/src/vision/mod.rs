//! InternViT, the vision encoder F_en of Eq. 1.

mod block;
mod embeddings;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::config::MllmsegConfig;
use block::VisionBlock;
use embeddings::VisionEmbeddings;

/// The vision encoder: patch embeddings, then a stack of pre-norm transformer blocks.
#[derive(Module, Debug)]
pub struct VisionEncoder {
    pub(crate) embeddings: VisionEmbeddings,
    layers: Vec<VisionBlock>,
    used_layers: usize,
}

impl VisionEncoder {
    /// Builds the encoder of a configuration.
    pub fn new(config: &MllmsegConfig, device: &Device) -> Self {
        let vision = &config.vision;
        let count = vision.num_hidden_layers;
        // `select_layer` indexes the list [embeddings, layer 1, ..., layer L], as Python does.
        let used_layers = match config.select_layer {
            from_end @ ..0 => (count as i64 + 1 + from_end) as usize,
            from_start => from_start as usize,
        };
        Self {
            embeddings: VisionEmbeddings::new(vision, config.patches_per_side(), device),
            layers: (0..count).map(|_| VisionBlock::new(vision, device)).collect(),
            used_layers,
        }
    }

    // ANCHOR: image_tokens
    /// T_img1: one token per patch, row by row; the class token is dropped at the end.
    ///
    /// # Shapes
    /// - `pixels`: `[b, 3, h, w]`, normalised
    /// - output: `[b, p, c]` with `p = (h / patch) (w / patch)`
    pub fn forward(&self, pixels: Tensor<4>) -> Tensor<3> {
        let mut x = self.embeddings.forward(pixels); // [b, 1 + p, c]
        for layer in &self.layers[..self.used_layers] {
            x = layer.forward(x);
        }
        let [_, length, _] = x.dims();
        x.narrow(1, 1, length - 1) // [b, p, c]
    }
    // ANCHOR_END: image_tokens
}
