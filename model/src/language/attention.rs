//! Grouped-query self-attention with rotary positions and a cache.

use burn::module::Module;
use burn::tensor::{Bool, Device, Tensor, TensorData};

use super::rope::Rotation;
use crate::attention::{attend, merge_heads, split_heads};
use crate::config::{Architecture, LanguageConfig};
use crate::lora::{LoraConfig, LoraLinear};

/// Rotated keys, and values, `[b, kv_heads, s, head_dim]` each.
pub type KeysAndValues = [Tensor<4>; 2];

/// What attention needs to know about the positions of a call; the same for every layer.
#[derive(Debug, Clone)]
pub struct AttentionContext {
    /// Rotary embedding of the positions.
    rotary: Rotation,
    /// `true` where a query must not attend: at keys later than itself. The rows of the `t` queries
    /// are repeated for each head of a group, `[1, 1, group · t, s]`.
    causal_mask: Tensor<4, Bool>,
}

impl AttentionContext {
    /// For `x`, which follows `past` positions in a sequence of `total_length`.
    ///
    /// # Shapes
    /// - `x`: `[b, t, d]`
    pub fn new(config: &LanguageConfig, x: &Tensor<3>, past: usize, total_length: usize) -> Self {
        let [_, length, _] = x.dims();
        let (device, dtype) = (x.device().without_autodiff(), x.dtype());
        let rows = config.num_attention_heads / config.num_key_value_heads * length;
        let keys = past + length;
        let hidden = (0..rows).flat_map(|row| (0..keys).map(move |key| key > past + row % length));
        let hidden = TensorData::new(hidden.collect::<Vec<bool>>(), [1, 1, rows, keys]);
        let rotary = Rotation::new(config, past..keys, total_length, &device, dtype);
        Self { rotary, causal_mask: Tensor::from_data(hidden, &device) }
    }
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
    /// Qwen2's `q_proj`, `k_proj`, `v_proj`.
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
}

impl Attention {
    pub(super) fn new(config: &LanguageConfig, lora: Option<LoraConfig>, device: &Device) -> Self {
        let width = config.hidden_size;
        let (heads, kv_heads) = (config.num_attention_heads, config.num_key_value_heads);
        let head_dim = width / heads;
        let linear = |d_output, bias| LoraLinear::new([width, d_output], bias, lora, device);
        let (qkv, output_bias) = match config.architecture {
            Architecture::InternLm2 => {
                let packed = linear((heads + 2 * kv_heads) * head_dim, config.bias);
                (QkvProjection::Packed(packed), config.bias)
            }
            Architecture::Qwen2 => {
                let separate = SeparateProjection {
                    q: linear(heads * head_dim, true),
                    k: linear(kv_heads * head_dim, true),
                    v: linear(kv_heads * head_dim, true),
                };
                (QkvProjection::Separate(separate), false)
            }
        };
        Self { qkv, output: linear(width, output_bias), heads, kv_heads }
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
        let [query, key, value] = self.qkv.forward(x, self.heads, self.kv_heads);
        let (query, key) = (context.rotary.apply(query), context.rotary.apply(key));
        let [key, value] = match past {
            None => [key, value],
            Some([keys, values]) => {
                [vec![keys, key], vec![values, value]].map(|x| Tensor::cat(x, 2))
            }
        }; // [b, kv_heads, s, head_dim]

        // The heads of a group share their keys, so their queries become further rows of one head:
        // keys and values are never repeated.
        let [_, _, _, head_dim] = query.dims();
        let [_, _, rows, positions] = context.causal_mask.dims();
        let query = query.reshape([batch, self.kv_heads, rows, head_dim]); // [b, kv_heads, group t, head_dim]
        let mask = context.causal_mask.clone().expand([batch, self.kv_heads, rows, positions]);
        let attended = attend(query, key.clone(), value.clone(), Some(mask), None);
        let attended = attended.reshape([batch, self.heads, length, head_dim]); // [b, heads, t, head_dim]
        let output = self.output.forward(merge_heads(attended)); // [b, t, d]
        (output, [key, value])
    }
}

impl QkvProjection {
    /// # Shapes
    /// - `x`: `[b, t, d]`
    /// - output: queries `[b, heads, t, head_dim]`, keys and values `[b, kv_heads, t, head_dim]`
    fn forward(&self, x: Tensor<3>, heads: usize, kv_heads: usize) -> [Tensor<4>; 3] {
        match self {
            QkvProjection::Packed(packed) => {
                let (qkv, group) = (packed.forward(x), heads / kv_heads); // [b, t, (heads + 2 kv_heads) head_dim]
                let [batch, length, width] = qkv.dims();
                let head_dim = width / (heads + 2 * kv_heads);
                let qkv = qkv.reshape([batch, length, kv_heads, group + 2, head_dim]);
                [(0, group), (group, 1), (group + 1, 1)].map(|(start, count)| {
                    let part = qkv.clone().narrow(3, start, count); // [b, t, kv_heads, count, head_dim]
                    part.flatten::<4>(2, 3).swap_dims(1, 2) // [b, kv_heads count, t, head_dim]
                })
            }
            QkvProjection::Separate(SeparateProjection { q, k, v }) => {
                [(q, heads), (k, kv_heads), (v, kv_heads)]
                    .map(|(linear, heads)| split_heads(linear.forward(x.clone()), heads))
            }
        }
    }
}
