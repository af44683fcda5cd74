//! Keys and values of the positions so far.

use burn::tensor::Tensor;

use super::attention::KeysAndValues;

/// One pair of `[b, kv_heads, s, head_dim]` tensors per layer, keys already rotated.
///
/// Cloning shares the tensors: a clone of an image's prefix is free, and appending to it leaves
/// the original as it was.
#[derive(Debug, Clone)]
pub struct KvCache {
    layers: Vec<Option<KeysAndValues>>,
}

impl KvCache {
    /// An empty cache for so many layers.
    pub fn new(layers: usize) -> Self {
        Self { layers: vec![None; layers] }
    }

    /// Positions held.
    pub fn len(&self) -> usize {
        self.layers.first().and_then(Option::as_ref).map_or(0, |(key, _)| key.dims()[2])
    }

    /// Whether nothing is held yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> u64 {
        let size = |x: &Tensor<4>| (x.shape().num_elements() * x.dtype().size()) as u64;
        self.layers.iter().flatten().map(|(key, value)| size(key) + size(value)).sum()
    }

    /// Removes the keys and values of a layer.
    pub(super) fn take(&mut self, layer: usize) -> Option<KeysAndValues> {
        self.layers[layer].take()
    }

    /// Sets the keys and values of a layer.
    pub(super) fn put(&mut self, layer: usize, held: KeysAndValues) {
        self.layers[layer] = Some(held);
    }

    /// The cache of one sequence, repeated for a batch of `n` continuations.
    pub fn expand(&self, n: usize) -> Self {
        let expand = |x: &Tensor<4>| {
            let [_, heads, length, head_dim] = x.dims();
            x.clone().expand([n, heads, length, head_dim])
        };
        let layers = self.layers.iter().map(|layer| {
            layer.as_ref().map(|(key, value)| (expand(key), expand(value))) // [n, kv_heads, s, head_dim]
        });
        Self { layers: layers.collect() }
    }
}
