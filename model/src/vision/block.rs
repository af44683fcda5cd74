//! One pre-norm transformer block with LayerScale.

use burn::module::{Module, Param};
use burn::nn::{Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

use crate::attention::{attend, merge_heads, split_heads};
use crate::config::VisionConfig;
use crate::cpu::{Activation, apply};
use crate::mlp::Mlp;

/// `x + ls1 · attention(norm1(x))`, then `x + ls2 · mlp(norm2(x))`.
#[derive(Module, Debug)]
pub struct VisionBlock {
    norm1: LayerNorm,
    attn: VisionAttention,
    /// `[c]`
    ls1: Param<Tensor<1>>,
    norm2: LayerNorm,
    mlp: Mlp,
    /// `[c]`
    ls2: Param<Tensor<1>>,
}

/// Self-attention over all patches with packed query, key and value.
#[derive(Module, Debug)]
pub struct VisionAttention {
    /// `c -> 3 c`: queries, keys, values, each `heads` by `c / heads`.
    qkv: Linear,
    proj: Linear,
    heads: usize,
}

impl VisionBlock {
    pub(super) fn new(config: &VisionConfig, device: &Device) -> Self {
        let width = config.hidden_size;
        let norm = || LayerNormConfig::new(width).with_epsilon(config.layer_norm_eps).init(device);
        let scale = Initializer::Constant { value: config.initializer_factor };
        Self {
            norm1: norm(),
            attn: VisionAttention {
                qkv: LinearConfig::new(width, 3 * width).with_bias(config.qkv_bias).init(device),
                proj: LinearConfig::new(width, width).init(device),
                heads: config.num_attention_heads,
            },
            ls1: scale.init([width], device),
            norm2: norm(),
            mlp: Mlp::new([width, config.intermediate_size, width], device),
            ls2: scale.init([width], device),
        }
    }

    /// # Shapes
    /// - `x`: `[b, 1 + p, c]`, output: the same
    pub(super) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let attended = self.attn.forward(self.norm1.forward(x.clone()));
        let x = x + attended * self.ls1.val().unsqueeze();
        let mixed = self.mlp.forward(self.norm2.forward(x.clone()));
        x + mixed * self.ls2.val().unsqueeze()
    }
}

impl VisionAttention {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let qkv = split_heads(apply(&self.qkv, x, Activation::Identity), 3 * self.heads); // [b, 3 heads, 1 + p, d]
        let part = |i| qkv.clone().narrow(1, i * self.heads, self.heads); // [b, heads, 1 + p, d]
        let attended = attend(part(0), part(1), part(2), None, None);
        apply(&self.proj, merge_heads(attended), Activation::Identity) // [b, 1 + p, c]
    }
}
