//! The language model F_llm of Eq. 3: InternLM2 or Qwen2.
//!
//! Both are the same pre-norm decoder (grouped-query attention with rotary positions, SwiGLU, RMS
//! norms); they differ in how queries, keys and values are packed (`attention.rs`), in biases, and
//! in the names of their weights (`checkpoint::names`).

mod attention;
mod cache;
mod feed_forward;
mod layer;
mod rope;

use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig, RmsNorm, RmsNormConfig};
use burn::tensor::{DType, Device, Int, Tensor};

use crate::config::LanguageConfig;
use crate::dropout::LayerNoise;
use crate::lora::LoraConfig;
use attention::{Attention, causal_mask};
pub use cache::KvCache;
use feed_forward::FeedForward;
pub use layer::{DecoderLayer, Reading, Streams, StreamsNoise};
use layer::{Place, rms_norm};
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

    /// Hidden states after the final norm, for asking and not for training: nothing is dropped.
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
        let place = self.place(&embeddings, cache.len(), total_length, false);
        let mut x = embeddings;
        for (index, layer) in self.layers.iter().enumerate() {
            let (y, held) = layer.forward(x, &place, cache.take(index), None);
            cache.put(index, held);
            x = y;
        }
        self.finish(x) // [b, t, d]
    }

    /// Where the positions of `streams` stand in training. `trunk_of` names, for each of the continuations, the
    /// row of the trunk that it goes on, `[n]`.
    pub fn reading(&self, streams: &Streams, trunk_of: Option<Tensor<1, Int>>) -> Reading {
        let [_, length, _] = streams.trunk.dims();
        let branches = streams.branches.as_ref().zip(trunk_of).map(|(branches, trunk_of)| {
            let [_, further, _] = branches.dims();
            (self.place(branches, length, length + further, true), trunk_of)
        });
        Reading { trunk: self.place(&streams.trunk, 0, length, true), branches }
    }

    /// All layers in training, without the final norm; adapters drop some of their inputs.
    pub fn read(&self, streams: Streams, reading: &Reading) -> Streams {
        self.layers.iter().fold(streams, |streams, layer| {
            let noise = self.draw_noise(&streams);
            layer.read(streams, reading, noise.as_ref())
        })
    }

    /// Draws what one layer's dropout is made of in training; `None` where nothing is dropped.
    pub fn draw_noise(&self, streams: &Streams) -> Option<StreamsNoise> {
        let down = &self.layers.first()?.feed_forward.down;
        let drops = down.lora.as_ref().is_some_and(|lora| lora.drops());
        let [mlp, width] = down.weight.shape().dims();
        let draw = |x: &Tensor<3>| {
            let [batch, length, _] = x.dims();
            LayerNoise::draw(batch * length, mlp.max(width), &x.device().without_autodiff())
        };
        drops.then(|| StreamsNoise {
            trunk: draw(&streams.trunk),
            branches: streams.branches.as_ref().map(draw),
        })
    }

    /// The final norm.
    ///
    /// # Shapes
    /// - `x`: `[b, t, d]`, output: the same
    pub fn finish(&self, x: Tensor<3>) -> Tensor<3> {
        rms_norm(&self.norm, x)
    }

    /// Where `x` stands after `past` positions in a sequence of `total_length`.
    fn place(&self, x: &Tensor<3>, past: usize, total_length: usize, in_training: bool) -> Place {
        let [_, length, _] = x.dims();
        let (device, dtype): (Device, DType) = (x.device().without_autodiff(), x.dtype());
        Place {
            rotation: self.rope.rotation(past, length, total_length, &device, dtype),
            mask: causal_mask(length, past, self.group, &device), // [1, 1, group t, s]
            in_training,
        }
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
