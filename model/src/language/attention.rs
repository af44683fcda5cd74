//! Grouped-query self-attention with rotary positions and a cache.

use burn::module::Module;
use burn::nn::{RmsNorm, RmsNormConfig};
use burn::tensor::{Bool, Device, Tensor, TensorData};

use super::norm::rms_norm;
use super::rope::Rotation;
use crate::attention::{attend, merge_heads, split_heads};
use crate::config::{Architecture, LanguageConfig};
use crate::lora::{LoraConfig, LoraLinear};

/// Rotated keys, and values, `[b, kv_heads, s, head_dim]` each.
pub type KeysAndValues = (Tensor<4>, Tensor<4>);

/// What attention needs to know about the positions of a call; the same for every layer.
#[derive(Debug, Clone)]
pub struct AttentionContext {
    /// Rotary embedding of the positions.
    pub(super) rotary: Rotation,
    /// `true` where a query must not attend, `[1, 1, group · t, s]`.
    pub(super) causal_mask: Tensor<4, Bool>,
}

/// Self-attention of a decoder layer.
#[derive(Module, Debug)]
pub struct Attention {
    /// The projections to queries, keys and values.
    pub qkv: QkvProjection,
    /// The output projection.
    pub output: LoraLinear,
    heads: usize,
    kv_heads: usize,
}

/// How a family of models packs its projections.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // there are a few dozen of these in a model of gigabytes
pub enum QkvProjection {
    /// InternLM2's `wqkv`: one matrix, grouped by key/value head. A group holds its query heads,
    /// then its key head, then its value head.
    Packed(LoraLinear),
    /// `q_proj`, `k_proj`, `v_proj` of Qwen2 and Qwen3.
    Separate(SeparateProjection),
}

/// Three projections of their own.
#[derive(Module, Debug)]
pub struct SeparateProjection {
    /// `d -> heads · head_dim`
    pub q: LoraLinear,
    /// `d -> kv_heads · head_dim`
    pub k: LoraLinear,
    /// `d -> kv_heads · head_dim`
    pub v: LoraLinear,
    /// Qwen3's norm of each query head, over `head_dim`.
    pub q_norm: Option<RmsNorm>,
    /// Qwen3's norm of each key head.
    pub k_norm: Option<RmsNorm>,
}

impl Attention {
    pub(super) fn new(config: &LanguageConfig, lora: Option<LoraConfig>, device: &Device) -> Self {
        let (heads, kv_heads) = (config.num_attention_heads, config.num_key_value_heads);
        let (width, head_dim) = (config.hidden_size, config.head_dim());
        let linear = |d_output, bias| LoraLinear::new([width, d_output], bias, lora, device);
        let norm = || RmsNormConfig::new(head_dim).with_epsilon(config.rms_norm_eps).init(device);
        let is_qwen3 = config.architecture == Architecture::Qwen3;
        let (qkv, output_bias) = match config.architecture {
            Architecture::InternLm2 => {
                let packed = linear((heads + 2 * kv_heads) * head_dim, config.bias);
                (QkvProjection::Packed(packed), config.bias)
            }
            Architecture::Qwen2 | Architecture::Qwen3 => {
                let separate = SeparateProjection {
                    q: linear(heads * head_dim, !is_qwen3),
                    k: linear(kv_heads * head_dim, !is_qwen3),
                    v: linear(kv_heads * head_dim, !is_qwen3),
                    q_norm: is_qwen3.then(norm),
                    k_norm: is_qwen3.then(norm),
                };
                (QkvProjection::Separate(separate), false)
            }
        };
        let output = LoraLinear::new([heads * head_dim, width], output_bias, lora, device);
        Self { qkv, output, heads, kv_heads }
    }

    /// The attention output, and the keys and values of `past` and `x`, to which later positions
    /// attend.
    ///
    /// # Shapes
    /// - `x`: `[b, t, d]`, `past`: `[b, kv_heads, s - t, head_dim]` each
    /// - output: `[b, t, d]`, and `[b, kv_heads, s, head_dim]` each
    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        context: &AttentionContext,
        past: Option<KeysAndValues>,
    ) -> (Tensor<3>, KeysAndValues) {
        let [batch, length, _] = x.dims();
        let (query, key, value) = self.qkv.forward(x, self.heads, self.kv_heads);
        let (query, key) = (context.rotary.apply(query), context.rotary.apply(key));
        let (key, value) = match past {
            None => (key, value),
            Some((keys, values)) => {
                (Tensor::cat(vec![keys, key], 2), Tensor::cat(vec![values, value], 2))
            }
        }; // [b, kv_heads, s, head_dim]

        // The heads of a group share their keys, so their queries become further rows of one head:
        // keys and values are never repeated.
        let [_, _, _, head_dim] = query.dims();
        let [_, _, rows, positions] = context.causal_mask.dims();
        let query = query.reshape([batch, self.kv_heads, rows, head_dim]); // [b, kv_heads, group t, head_dim]
        let mask = context.causal_mask.clone().expand([batch, self.kv_heads, rows, positions]);
        let attended = attend(query, key.clone(), value.clone(), Some(mask));
        let attended = attended.reshape([batch, self.heads, length, head_dim]); // [b, heads, t, head_dim]
        let output = self.output.forward(merge_heads(attended)); // [b, t, d]
        (output, (key, value))
    }
}

impl QkvProjection {
    /// # Shapes
    /// - `x`: `[b, t, d]`
    /// - output: queries `[b, heads, t, head_dim]`, keys and values `[b, kv_heads, t, head_dim]`
    fn forward(
        &self,
        x: Tensor<3>,
        heads: usize,
        kv_heads: usize,
    ) -> (Tensor<4>, Tensor<4>, Tensor<4>) {
        match self {
            QkvProjection::Packed(packed) => {
                let [batch, length, _] = x.dims();
                let group = heads / kv_heads;
                let qkv = packed.forward(x); // [b, t, (heads + 2 kv_heads) head_dim]
                let [_, _, width] = qkv.dims();
                let head_dim = width / (heads + 2 * kv_heads);
                let qkv = qkv.reshape([batch, length, kv_heads, group + 2, head_dim]); // a group's queries, key, value
                let query =
                    qkv.clone().narrow(3, 0, group).reshape([batch, length, heads, head_dim]);
                let [key, value] = [group, group + 1].map(|i| {
                    qkv.clone().narrow(3, i, 1).reshape([batch, length, kv_heads, head_dim])
                });
                (query.swap_dims(1, 2), key.swap_dims(1, 2), value.swap_dims(1, 2)) // [b, heads, t, head_dim]
            }
            QkvProjection::Separate(SeparateProjection { q, k, v, q_norm, k_norm }) => {
                let normed = |norm: &Option<RmsNorm>, heads| match norm {
                    Some(norm) => rms_norm(norm, heads),
                    None => heads,
                };
                (
                    normed(q_norm, split_heads(q.forward(x.clone()), heads)),
                    normed(k_norm, split_heads(k.forward(x.clone()), kv_heads)),
                    split_heads(v.forward(x), kv_heads),
                )
            }
        }
    }
}

/// `true` where a query must not attend: at keys later than itself. The rows of the `t` queries
/// are repeated for each head of a group.
///
/// # Shapes
/// - output: `[1, 1, group · t, past + t]`
pub(super) fn causal_mask(
    length: usize,
    past: usize,
    group: usize,
    device: &Device,
) -> Tensor<4, Bool> {
    let positions = past + length;
    let rows = (0..group * length).map(|row| past + row % length);
    let hidden: Vec<bool> =
        rows.flat_map(|last| (0..positions).map(move |key| key > last)).collect();
    Tensor::from_data(TensorData::new(hidden, [1, 1, group * length, positions]), device)
}
