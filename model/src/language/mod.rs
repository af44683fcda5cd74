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
use burn::tensor::{Device, Int, Tensor};

use crate::config::LanguageConfig;
use crate::cpu::{Activation, apply};
use crate::lora::LoraConfig;
use attention::Attention;
pub use attention::AttentionContext;
pub use cache::KvCache;
use feed_forward::FeedForward;
pub use layer::DecoderLayer;
use norm::rms_norm;

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
    /// Its sizes.
    #[module(skip)]
    pub config: LanguageConfig,
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
            config: config.clone(),
        }
    }

    // ANCHOR: language_model
    /// Eq. 3: hidden states after the final norm.
    ///
    /// `embeddings` continue what the cache holds, and their keys and values are appended to it.
    /// `total_length` is the length of the whole sequence that this call is part of: dynamic rotary
    /// scaling depends on it ([`LanguageConfig::rope_depends_on_length`]).
    ///
    /// # Shapes
    /// - `embeddings`: `[b, t, d]`, output: `[b, t, d]`
    pub fn forward(
        &self,
        embeddings: Tensor<3>,
        cache: &mut KvCache,
        total_length: usize,
    ) -> Tensor<3> {
        let mut x = embeddings;
        let context = AttentionContext::new(&self.config, &x, cache.length(), total_length);
        for (layer, held) in self.layers.iter().zip(&mut cache.layers) {
            let (output, keys_and_values) = layer.forward(x, &context, held.take());
            (x, *held) = (output, Some(keys_and_values));
        }
        self.final_norm(x) // [b, t, d]
    }
    // ANCHOR_END: language_model

    /// The norm after the last layer.
    ///
    /// # Shapes
    /// - `x`: `[b, t, d]`, output: the same
    pub fn final_norm(&self, x: Tensor<3>) -> Tensor<3> {
        rms_norm(&self.norm, x)
    }

    /// The vocabulary projection of states.
    ///
    /// # Shapes
    /// - `states`: `[n, t, d]`, output: `[n, t, v]`
    pub fn logits(&self, states: Tensor<3>) -> Tensor<3> {
        apply(&self.lm_head, states, Activation::Identity)
    }

    /// The most probable next token after each state.
    ///
    /// # Shapes
    /// - `states`: `[n, 1, d]`, output: `[n]`
    pub fn predicted_ids(&self, states: Tensor<3>) -> Tensor<1, Int> {
        self.logits(states).argmax(2).reshape([-1])
    }
}
