//! One pre-norm transformer block with LayerScale.

use burn::module::{Module, Param};
use burn::nn::{Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::gelu;
use burn::tensor::{Device, Tensor};

use crate::attention::{attend, merge_heads};
use crate::config::VisionConfig;

/// `x + ls1 · attention(norm1(x))`, then `x + ls2 · mlp(norm2(x))`.
#[derive(Module, Debug)]
pub struct VisionBlock {
    norm1: LayerNorm,
    attn: VisionAttention,
    /// `[c]`
    ls1: Param<Tensor<1>>,
    norm2: LayerNorm,
    mlp: VisionMlp,
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

/// Linear, GELU (erf), Linear.
#[derive(Module, Debug)]
pub struct VisionMlp {
    fc1: Linear,
    fc2: Linear,
}

impl VisionBlock {
    pub(super) fn new(config: &VisionConfig, device: &Device) -> Self {
        let width = config.hidden_size;
        let norm = || LayerNormConfig::new(width).with_epsilon(config.layer_norm_eps).init(device);
        let linear = |from, to, bias| LinearConfig::new(from, to).with_bias(bias).init(device);
        let scale = Initializer::Constant { value: config.initializer_factor };
        Self {
            norm1: norm(),
            attn: VisionAttention {
                qkv: linear(width, 3 * width, config.qkv_bias),
                proj: linear(width, width, true),
                heads: config.num_attention_heads,
            },
            ls1: scale.init([width], device),
            norm2: norm(),
            mlp: VisionMlp {
                fc1: linear(width, config.intermediate_size, true),
                fc2: linear(config.intermediate_size, width, true),
            },
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
        let [batch, length, width] = x.dims();
        let head_dim = width / self.heads;
        let qkv =
            self.qkv.forward(x).reshape([batch, length, 3 * self.heads, head_dim]).swap_dims(1, 2); // [b, 3 heads, 1 + p, d]
        let [query, key, value] =
            [0, 1, 2].map(|i| qkv.clone().narrow(1, i * self.heads, self.heads)); // [b, heads, 1 + p, d]
        self.proj.forward(merge_heads(attend(query, key, value, None))) // [b, 1 + p, c]
    }
}

impl VisionMlp {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.fc2.forward(gelu(self.fc1.forward(x)))
    }
}
