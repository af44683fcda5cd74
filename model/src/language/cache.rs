//! Keys and values of the positions so far.

use burn::tensor::Tensor;

use super::attention::KeysAndValues;

/// One pair of `[b, kv_heads, s, head_dim]` tensors per layer, keys already rotated.
///
/// Cloning shares the tensors: a clone of an image's prefix is free, and appending to it leaves
/// the original as it was.
#[derive(Debug, Clone)]
pub struct KvCache {
    pub(super) layers: Vec<Option<KeysAndValues>>,
}

impl KvCache {
    /// An empty cache for so many layers.
    pub fn new(layers: usize) -> Self {
        Self { layers: vec![None; layers] }
    }

    /// Positions held.
    pub fn length(&self) -> usize {
        self.layers.first().and_then(Option::as_ref).map_or(0, |[key, _]| key.dims()[2])
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> u64 {
        let size = |x: &Tensor<4>| (x.shape().num_elements() * x.dtype().size()) as u64;
        self.layers.iter().flatten().flatten().map(size).sum()
    }

    /// The cache of one sequence, repeated for a batch of `n` continuations.
    pub fn expand(&self, n: usize) -> Self {
        let expand = |x: Tensor<4>| {
            let [_, heads, length, head_dim] = x.dims();
            x.expand([n, heads, length, head_dim]) // [n, kv_heads, s, head_dim]
        };
        let layers = self.layers.iter().cloned();
        Self { layers: layers.map(|held| held.map(|held| held.map(expand))).collect() }
    }
}
