//! Keys and values of what has been read so far.

use burn::tensor::{Int, Tensor};

/// One pair of `[b, kv_heads, s, head_dim]` tensors per layer, keys already rotated.
///
/// Cloning shares the tensors: a clone of an image's prefix is free, and appending to it leaves
/// the original as it was.
#[derive(Debug, Clone)]
pub struct KvCache {
    layers: Vec<Option<(Tensor<4>, Tensor<4>)>>,
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

    /// Appends to a layer and returns all of its keys and values.
    ///
    /// # Shapes
    /// - `key`, `value`: `[b, kv_heads, t, head_dim]`; output: `[b, kv_heads, s + t, head_dim]`
    pub fn append(
        &mut self,
        layer: usize,
        key: Tensor<4>,
        value: Tensor<4>,
    ) -> (Tensor<4>, Tensor<4>) {
        let held = match self.layers[layer].take() {
            None => (key, value),
            Some((keys, values)) => {
                (Tensor::cat(vec![keys, key], 2), Tensor::cat(vec![values, value], 2))
            }
        };
        self.layers[layer] = Some(held.clone());
        held
    }

    /// The cache of one sequence, repeated for a batch of `n` continuations.
    pub fn expand(&self, n: usize) -> Self {
        self.map(|x| {
            let [_, heads, length, head_dim] = x.dims();
            x.expand([n, heads, length, head_dim])
        })
    }

    /// The cache of `n` continuations, each of the sequence with the given row.
    ///
    /// # Shapes
    /// - `rows`: `[n]`
    pub fn select(&self, rows: &Tensor<1, Int>) -> Self {
        self.map(|x| x.select(0, rows.clone()))
    }

    fn map(&self, f: impl Fn(Tensor<4>) -> Tensor<4>) -> Self {
        let layers = self.layers.iter().map(|layer| {
            layer.as_ref().map(|(key, value)| (f(key.clone()), f(value.clone()))) // [n, kv_heads, s, head_dim]
        });
        Self { layers: layers.collect() }
    }
}
