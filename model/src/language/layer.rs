//! One pre-norm decoder layer.

use burn::module::Module;
use burn::nn::RmsNorm;
use burn::tensor::Tensor;

use super::attention::{Attention, AttentionContext, KeysAndValues};
use super::feed_forward::FeedForward;
use super::norm::rms_norm;

/// `x + attention(norm(x))`, then `x + feed_forward(norm(x))`.
#[derive(Module, Debug)]
pub struct DecoderLayer {
    /// Norm before attention.
    pub attention_norm: RmsNorm,
    /// Grouped-query self-attention.
    pub attention: Attention,
    /// Norm before the MLP.
    pub ffn_norm: RmsNorm,
    /// SwiGLU.
    pub feed_forward: FeedForward,
}

impl DecoderLayer {
    // ANCHOR: decoder_layer
    /// The layer's output, and the keys and values of `past` and `x`.
    ///
    /// # Shapes
    /// - `x`: `[b, t, d]`, `past`: `[b, kv_heads, s - t, head_dim]` each
    /// - output: `[b, t, d]`, and `[b, kv_heads, s, head_dim]` each
    pub fn forward(
        &self,
        x: Tensor<3>,
        context: &AttentionContext,
        past: Option<KeysAndValues>,
    ) -> (Tensor<3>, KeysAndValues) {
        let normed = rms_norm(&self.attention_norm, x.clone());
        let (attended, keys_and_values) = self.attention.forward(normed, context, past);
        let x = x + attended;
        let mixed = self.feed_forward.forward(rms_norm(&self.ffn_norm, x.clone()));
        (x + mixed, keys_and_values)
    }
    // ANCHOR_END: decoder_layer
}
