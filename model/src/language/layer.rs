//! One decoder layer, and what it is given.

use burn::module::Module;
use burn::nn::RmsNorm;
use burn::tensor::{Bool, DType, Int, Tensor};

use super::attention::{Attention, KeysAndValues};
use super::feed_forward::FeedForward;
use super::rope::Rotation;
use crate::dropout::LayerNoise;

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

/// Where a run of positions stands: the same for every layer.
#[derive(Debug, Clone)]
pub struct Place {
    /// Of queries and keys.
    pub(super) rotation: Rotation,
    /// Causal, `[1, 1, group · t, s]`.
    pub(super) mask: Tensor<4, Bool>,
    /// Whether the numbers must be those of a pass that records gradients, to the last bit.
    pub(super) in_training: bool,
}

/// What training reads, layer by layer.
///
/// Where several examples share an image, what precedes them is read once and every layer's keys
/// and values of it are looked at by all of them.
#[derive(Debug, Clone)]
pub struct Streams {
    /// Whole conversations, or what precedes several continuations of each image, `[b, t, d]`.
    pub trunk: Tensor<3>,
    /// The continuations, `[n, t', d]`.
    pub branches: Option<Tensor<3>>,
}

/// Where the positions of [`Streams`] stand.
#[derive(Debug, Clone)]
pub struct Reading {
    pub(super) trunk: Place,
    /// Of the continuations, and the row of the trunk that each of them goes on, `[n]`.
    pub(super) branches: Option<(Place, Tensor<1, Int>)>,
}

/// The dropout of one layer in one pass over [`Streams`].
#[derive(Debug, Clone)]
pub struct StreamsNoise {
    pub(super) trunk: LayerNoise,
    pub(super) branches: Option<LayerNoise>,
}

impl DecoderLayer {
    /// The layer's output for the positions of `x`, and the keys and values up to them.
    ///
    /// # Shapes
    /// - `x`: `[b, t, d]`, output: the same
    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        place: &Place,
        past: Option<KeysAndValues>,
        noise: Option<&LayerNoise>,
    ) -> (Tensor<3>, KeysAndValues) {
        let normed = rms_norm(&self.attention_norm, x.clone());
        let (attended, held) = self.attention.forward(normed, place, past, noise);
        let x = x + attended;
        let normed = rms_norm(&self.ffn_norm, x.clone());
        (x + self.feed_forward.forward(normed, noise), held)
    }

    /// The layer's output for all that training reads.
    pub fn read(
        &self,
        streams: Streams,
        reading: &Reading,
        noise: Option<&StreamsNoise>,
    ) -> Streams {
        let trunk_noise = noise.map(|noise| &noise.trunk);
        let (trunk, (keys, values)) =
            self.forward(streams.trunk, &reading.trunk, None, trunk_noise);
        let branches = streams.branches.zip(reading.branches.as_ref());
        let branches = branches.map(|(x, (place, trunk_of))| {
            let past = [keys, values].map(|x| x.select(0, trunk_of.clone())); // [n, kv_heads, t, head_dim]
            let noise = noise.and_then(|noise| noise.branches.as_ref());
            self.forward(x, place, Some(past.into()), noise).0
        });
        Streams { trunk, branches }
    }
}

impl Streams {
    /// Both, each by a function.
    pub fn map(self, mut f: impl FnMut(Tensor<3>) -> Tensor<3>) -> Self {
        Self { trunk: f(self.trunk), branches: self.branches.map(f) }
    }
}

/// `x / sqrt(mean(x²) + eps)` in f32, then times the weight in the dtype of `x`. Burn's own rounds
/// the root first, and its graph holds `x` twice, in both dtypes.
pub(super) fn rms_norm(norm: &RmsNorm, x: Tensor<3>) -> Tensor<3> {
    let dtype = x.dtype();
    let x = x.cast(DType::F32);
    let root = (x.clone().square().mean_dim(2) + norm.epsilon).sqrt(); // [b, t, 1]
    (x / root).cast(dtype) * norm.gamma.val().unsqueeze()
}
