//! The language model F_llm of Eq. 3: InternLM2 or Qwen2.
//!
//! Both are the same pre-norm decoder (grouped-query attention with rotary positions, SwiGLU, RMS
//! norms); they differ in how queries, keys and values are packed (`attention.rs`), in biases, and
//! in the names of their weights (`checkpoint::names`).

mod attention;
mod cache;
mod feed_forward;
mod rope;

use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig, RmsNorm, RmsNormConfig};
use burn::tensor::{Device, Int, Tensor};

use crate::config::LanguageConfig;
use crate::lora::LoraConfig;
use attention::{Attention, causal_mask};
pub use cache::KvCache;
use feed_forward::FeedForward;
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

impl LanguageModel {
    /// Builds the language model of a configuration, with adapters where `lora` asks for them.
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

    /// Hidden states after the final norm.
    ///
    /// With a cache, `embeddings` continue what the cache holds, and their keys and values are
    /// appended to it. `total_length` is the length of the whole sequence that this call is part
    /// of: dynamic rotary scaling depends on it ([`Rope::depends_on_length`]).
    ///
    /// # Shapes
    /// - `embeddings`: `[b, t, d]`, output: `[b, t, d]`
    pub fn forward(
        &self,
        embeddings: Tensor<3>,
        cache: &mut KvCache,
        total_length: usize,
    ) -> Tensor<3> {
        let [_, length, _] = embeddings.dims();
        let (device, dtype) = (embeddings.device(), embeddings.dtype());
        let past = cache.len();
        let rotation = self.rope.rotation(past, length, total_length, &device, dtype);
        let mask = causal_mask(length, past, self.group, &device); // [1, 1, group t, s]
        let mut x = embeddings;
        for (index, layer) in self.layers.iter().enumerate() {
            let normed = layer.attention_norm.forward(x.clone());
            x = x + layer.attention.forward(normed, &rotation, mask.clone(), cache, index);
            x = x.clone() + layer.feed_forward.forward(layer.ffn_norm.forward(x));
        }
        self.norm.forward(x) // [b, t, d]
    }

    /// Scores of every token of the vocabulary.
    ///
    /// # Shapes
    /// - `hidden`: `[..., d]`, output: `[..., v]`
    pub fn logits<const D: usize>(&self, hidden: Tensor<D>) -> Tensor<D> {
        self.lm_head.forward(hidden)
    }

    /// An empty cache for this model.
    pub fn new_cache(&self) -> KvCache {
        KvCache::new(self.layers.len())
    }

    /// The rotary embedding.
    pub fn rope(&self) -> &Rope {
        &self.rope
    }

    /// The same model with every adapter folded into its weight.
    pub fn merged(mut self) -> Self {
        for layer in &mut self.layers {
            layer.attention = layer.attention.clone().merged();
            layer.feed_forward = layer.feed_forward.clone().merged();
        }
        self
    }
}
