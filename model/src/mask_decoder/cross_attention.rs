//! Eq. 7 and Eq. 9: one post-norm transformer decoder layer and a final norm. The paper's equations
//! show the bare attention; the published weights are those of a whole layer.
//!
//! `x1 = norm1(x + self_attention(x))`, `x2 = norm2(x1 + cross_attention(x1, memory))`,
//! `x3 = norm3(x2 + linear2(relu(linear1(x2))))`, and `norm(x3)`, without position embeddings.

use burn::module::{Module, Param};
use burn::nn::{
    Dropout, DropoutConfig, Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig,
};
use burn::tensor::{Device, Tensor};

use crate::attention::{attend, merge_heads, split_heads};
use crate::config::MaskDecoderConfig;
use crate::cpu::{Activation, apply, linear};
use crate::dropout::{drop_elements, drops};

/// The layer; its cross-attention attends to `memory`.
#[derive(Module, Debug)]
pub struct CrossAttention {
    /// Image positions among themselves.
    pub self_attn: MultiheadAttention,
    /// Image positions to the memory.
    pub multihead_attn: MultiheadAttention,
    /// `c -> c`
    pub linear1: Linear,
    /// `c -> c`
    pub linear2: Linear,
    /// After self-attention.
    pub norm1: LayerNorm,
    /// After cross-attention.
    pub norm2: LayerNorm,
    /// After the feed-forward.
    pub norm3: LayerNorm,
    /// The decoder's final norm.
    pub norm: LayerNorm,
    dropout: Dropout,
}

/// Attention with packed query, key and value weights.
#[derive(Module, Debug)]
pub struct MultiheadAttention {
    /// `[c, 3 c]`: queries, keys, values (checkpoints store `[3 c, c]`).
    pub in_proj_weight: Param<Tensor<2>>,
    /// `[3 c]`
    pub in_proj_bias: Param<Tensor<1>>,
    /// `c -> c`
    pub out_proj: Linear,
    heads: usize,
    dropout: Dropout,
}

/// Where the parts of the packed projection start, in units of `c`.
const QUERY: usize = 0;
const KEY: usize = 1;
const VALUE: usize = 2;

impl CrossAttention {
    pub(super) fn new(width: usize, config: &MaskDecoderConfig, device: &Device) -> Self {
        let norm = || LayerNormConfig::new(width).with_epsilon(1e-5).init(device);
        Self {
            self_attn: MultiheadAttention::new(width, config, device),
            multihead_attn: MultiheadAttention::new(width, config, device),
            linear1: xavier_linear(width, width, device),
            linear2: xavier_linear(width, width, device),
            norm1: norm(),
            norm2: norm(),
            norm3: norm(),
            norm: norm(),
            dropout: DropoutConfig::new(config.dropout).init(),
        }
    }

    // ANCHOR: cross_attention
    /// # Shapes
    /// - `x`: `[n, p, c]`, `memory`: `[n, m, c]`; output: `[n, p, c]`
    pub fn forward(&self, x: Tensor<3>, memory: Tensor<3>) -> Tensor<3> {
        let x = self.attend_to_self(x);
        let from_memory = self.multihead_attn.forward(x.clone(), memory);
        self.after_attention(x, from_memory)
    }

    /// The half that does not see the memory: `norm1(x + self_attention(x))`.
    pub fn attend_to_self(&self, x: Tensor<3>) -> Tensor<3> {
        let attended = self.self_attn.forward(x.clone(), x.clone());
        self.norm1.forward(x + self.drop(attended))
    }

    /// The other half for a memory of a single token.
    ///
    /// # Shapes
    /// - `x`: `[1, p, c]` from [`attend_to_self`](Self::attend_to_self), `memory`: `[n, 1, c]`
    /// - output: `[n, p, c]`
    pub fn attend_to_one(&self, x: Tensor<3>, memory: Tensor<3>) -> Tensor<3> {
        let [_, positions, _] = x.dims();
        let from_memory = self.multihead_attn.forward_one(memory, positions);
        self.after_attention(x, from_memory)
    }

    fn after_attention(&self, x: Tensor<3>, from_memory: Tensor<3>) -> Tensor<3> {
        let x = self.norm2.forward(x + self.drop(from_memory)); // [n, p, c]
        let hidden = self.drop(apply(&self.linear1, x.clone(), Activation::Relu)); // [n, p, c]
        let mixed = self.drop(apply(&self.linear2, hidden, Activation::Identity));
        self.norm.forward(self.norm3.forward(x + mixed))
    }
    // ANCHOR_END: cross_attention

    fn drop(&self, x: Tensor<3>) -> Tensor<3> {
        drop_elements(&self.dropout, x)
    }
}

impl MultiheadAttention {
    fn new(width: usize, config: &MaskDecoderConfig, device: &Device) -> Self {
        let xavier = Initializer::XavierUniform { gain: 1.0 };
        let packed = [width, 3 * width];
        Self {
            in_proj_weight: xavier.init_with::<2, _>(packed, Some(width), Some(3 * width), device),
            in_proj_bias: Initializer::Zeros.init([3 * width], device),
            out_proj: xavier_linear(width, width, device),
            heads: config.num_attention_heads,
            dropout: DropoutConfig::new(config.dropout).init(),
        }
    }

    /// # Shapes
    /// - `x`: `[n, p, c]`, `memory`: `[n, m, c]`; output: `[n, p, c]`
    fn forward(&self, x: Tensor<3>, memory: Tensor<3>) -> Tensor<3> {
        let query = split_heads(self.project(x, QUERY), self.heads); // [n, heads, p, c / heads]
        let key = split_heads(self.project(memory.clone(), KEY), self.heads);
        let value = split_heads(self.project(memory, VALUE), self.heads);
        let attended = attend(query, key, value, None, Some(&self.dropout));
        apply(&self.out_proj, merge_heads(attended), Activation::Identity) // [n, p, c]
    }

    /// Attention of `positions` queries to a memory of one token. All attention weights are 1, so the
    /// result is the same at every position, except that training drops some of the weights.
    ///
    /// # Shapes
    /// - `memory`: `[n, 1, c]`; output: `[n, 1, c]`, or `[n, positions, c]` under dropout
    fn forward_one(&self, memory: Tensor<3>, positions: usize) -> Tensor<3> {
        let mut value = split_heads(self.project(memory, VALUE), self.heads); // [n, heads, 1, c / heads]
        if value.is_autodiff() && drops(&self.dropout) {
            let [n, heads, _, _] = value.dims();
            let options = (&value.device(), value.dtype());
            let weights = Tensor::ones([n, heads, positions, 1], options); // [n, heads, p, 1]
            value = drop_elements(&self.dropout, weights) * value; // [n, heads, p, c / heads]
        }
        apply(&self.out_proj, merge_heads(value), Activation::Identity)
    }

    /// One part of the packed projection, `[n, m, c]` to `[n, m, c]`.
    fn project(&self, x: Tensor<3>, part: usize) -> Tensor<3> {
        let [_, _, width] = x.dims();
        let weight = self.in_proj_weight.val().narrow(1, part * width, width);
        let bias = self.in_proj_bias.val().narrow(0, part * width, width);
        linear(x, weight, Some(bias), Activation::Identity)
    }
}

/// A linear layer as a fresh decoder starts it: Xavier uniform weights, zero bias.
pub(super) fn xavier_linear(from: usize, to: usize, device: &Device) -> Linear {
    let mut linear = LinearConfig::new(from, to)
        .with_initializer(Initializer::XavierUniform { gain: 1.0 })
        .init(device);
    linear.bias = Some(Initializer::Zeros.init([to], device));
    linear
}
