//! The language model F_llm of Eq. 3: InternLM2, Qwen2 or Qwen3.
//!
//! All are the same pre-norm decoder (grouped-query attention with rotary positions, SwiGLU, RMS
//! norms); they differ in how queries, keys and values are packed and normalised (`attention.rs`), in
//! biases, and in the names of their weights (`checkpoint::names`).

mod attention;
mod cache;
mod feed_forward;
mod layer;
mod norm;
mod rope;

use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig, RmsNorm, RmsNormConfig};
use burn::tensor::{DType, Device, Int, Tensor};

use crate::config::LanguageConfig;
use crate::lora::LoraConfig;
pub use attention::AttentionContext;
use attention::{Attention, causal_mask};
pub use cache::KvCache;
use feed_forward::FeedForward;
pub use layer::DecoderLayer;
use norm::rms_norm;
pub use rope::Rope;

/// A decoder-only transformer.
#[derive(Module, Debug)]
pub struct LanguageModel {
    /// The token table, `[v, d]`.
    pub embed_tokens: Embedding,
    /// The decoder layers.
    pub layers: Vec<DecoderLayer>,
    /// The final norm.
    pub norm: RmsNorm,
    /// The vocabulary projection, `d -> v`.
    pub lm_head: Linear,
    rope: Rope,
    /// Query heads for each key and value head.
    group: usize,
}

impl LanguageModel {
    /// Builds the language model of a configuration, with adapters if `lora` is given.
    pub fn new(config: &LanguageConfig, lora: Option<LoraConfig>, device: &Device) -> Self {
        let width = config.hidden_size;
        let norm = || RmsNormConfig::new(width).with_epsilon(config.rms_norm_eps).init(device);
        let layer = |_| DecoderLayer {
            attention_norm: norm(),
            attention: Attention::new(config, lora, device),
            ffn_norm: norm(),
            feed_forward: FeedForward::new(config, lora, device),
        };
        Self {
            embed_tokens: EmbeddingConfig::new(config.vocab_size, width).init(device),
            layers: (0..config.num_hidden_layers).map(layer).collect(),
            norm: norm(),
            lm_head: LinearConfig::new(width, config.vocab_size).with_bias(false).init(device),
            rope: Rope::new(config),
            group: config.num_attention_heads / config.num_key_value_heads,
        }
    }

    /// Token embeddings.
    ///
    /// # Shapes
    /// - `ids`: `[b, t]`, output: `[b, t, d]`
    pub fn embed(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        self.embed_tokens.forward(ids)
    }

    /// Eq. 3: hidden states after the final norm.
    ///
    /// `embeddings` continue what the cache holds, and their keys and values are appended to it.
    /// `total_length` is the length of the whole sequence that this call is part of: dynamic rotary
    /// scaling depends on it ([`Rope::depends_on_length`]).
    ///
    /// # Shapes
    /// - `embeddings`: `[b, t, d]`, output: `[b, t, d]`
    pub fn forward(
        &self,
        embeddings: Tensor<3>,
        cache: &mut KvCache,
        total_length: usize,
    ) -> Tensor<3> {
        let context = self.attention_context(&embeddings, cache.len(), total_length);
        let mut x = embeddings;
        for (index, layer) in self.layers.iter().enumerate() {
            let (output, keys_and_values) = layer.forward(x, &context, cache.take(index));
            cache.put(index, keys_and_values);
            x = output;
        }
        self.final_norm(x) // [b, t, d]
    }

    /// Rotary embedding and causal mask for `x`, which follows `past` positions in a sequence of
    /// `total_length`.
    ///
    /// # Shapes
    /// - `x`: `[b, t, d]`
    pub fn attention_context(
        &self,
        x: &Tensor<3>,
        past: usize,
        total_length: usize,
    ) -> AttentionContext {
        let [_, length, _] = x.dims();
        let (device, dtype): (Device, DType) = (x.device().without_autodiff(), x.dtype());
        AttentionContext {
            rotary: self.rope.rotation(past, length, total_length, &device, dtype),
            causal_mask: causal_mask(length, past, self.group, &device), // [1, 1, group t, s]
        }
    }

    /// The norm after the last layer.
    ///
    /// # Shapes
    /// - `x`: `[b, t, d]`, output: the same
    pub fn final_norm(&self, x: Tensor<3>) -> Tensor<3> {
        rms_norm(&self.norm, x)
    }

    /// Scores of every token of the vocabulary.
    ///
    /// # Shapes
    /// - `hidden`: `[..., d]`, output: `[..., v]`
    pub fn logits<const D: usize>(&self, hidden: Tensor<D>) -> Tensor<D> {
        self.lm_head.forward(hidden)
    }

    /// The most probable next token after each state.
    ///
    /// # Shapes
    /// - `states`: `[n, 1, d]`, output: `[n]`
    pub fn predicted_ids(&self, states: Tensor<3>) -> Tensor<1, Int> {
        self.logits(states).argmax(2).reshape([-1])
    }

    /// An empty cache for this model.
    pub fn new_cache(&self) -> KvCache {
        KvCache::new(self.layers.len())
    }

    /// The rotary embedding.
    pub fn rope(&self) -> &Rope {
        &self.rope
    }
}
