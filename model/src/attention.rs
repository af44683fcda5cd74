//! Scaled dot-product attention, the inner part of Eq. 3, 7 and 9.
//!
//! Two paths give the same numbers: Burn's fused operation, which on a GPU never stores the scores,
//! and in training one that stores the weights once (`memory_efficient.rs`). A test compares both
//! with the equation.

use burn::nn::Dropout;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, Tensor};

use crate::cpu;
use crate::dropout::{dropped_elements, is_training_forward};
use crate::memory_efficient::softmax_matmul;

/// `softmax(q kᵀ / √d) v`; in training, `dropout` drops some of the weights.
///
/// # Shapes
/// - `query`: `[b, heads, t, d]`, `key` and `value`: `[b, heads, s, d]`
/// - `mask`: `[b, heads, t, s]`, `true` where a query must not attend
/// - output: `[b, heads, t, d]`
pub fn attend(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    mask: Option<Tensor<4, Bool>>,
    dropout: Option<&Dropout>,
) -> Tensor<4> {
    if !is_training_forward() && !query.is_autodiff() {
        return cpu::attention(&query, &key, &value, mask.as_ref()).unwrap_or_else(|| {
            attention(query, key, value, mask, None, AttentionModuleOptions::default())
        });
    }
    let [_, _, _, head_dim] = query.dims();
    let scores = query.matmul(key.swap_dims(2, 3)) / (head_dim as f64).sqrt(); // [b, heads, t, s]
    let dropped = dropout.and_then(|dropout| dropped_elements(dropout, &scores));
    softmax_matmul(scores, value, mask, dropped)
}

/// `[b, t, heads * d]` to `[b, heads, t, d]`.
pub fn split_heads(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, length, width] = x.dims();
    x.reshape([batch, length, heads, width / heads]).swap_dims(1, 2) // [b, heads, t, d]
}

/// `[b, heads, t, d]` to `[b, t, heads * d]`.
pub fn merge_heads(x: Tensor<4>) -> Tensor<3> {
    let [batch, heads, length, head_dim] = x.dims();
    x.swap_dims(1, 2).reshape([batch, length, heads * head_dim]) // [b, t, heads * d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::activation::softmax;
    use burn::tensor::{Distribution, TensorData, Tolerance};

    #[test]
    fn both_paths_equal_the_equation_with_and_without_a_mask() {
        let device = crate::test_device();
        let random =
            |shape: [usize; 4]| Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &device);
        let (q, k, v) = (random([2, 3, 5, 8]), random([2, 3, 7, 8]), random([2, 3, 7, 8]));
        let hidden: Vec<bool> = (0..2 * 3 * 5 * 7).map(|i| i % 7 > 2 + (i / 7) % 5).collect();
        let hidden = TensorData::new(hidden, [2, 3, 5, 7]);
        for mask in [None, Some(Tensor::<4, Bool>::from_data(hidden, &device))] {
            let scores = q.clone().matmul(k.clone().transpose()) / 8f64.sqrt();
            let scores = match mask.clone() {
                Some(mask) => scores.mask_fill(mask, f32::NEG_INFINITY),
                None => scores,
            };
            let plain = softmax(scores, 3).matmul(v.clone()).into_data();
            let fused = attend(q.clone(), k.clone(), v.clone(), mask.clone(), None);
            let leaf = q.clone().autodiff().require_grad();
            let tracked = attend(leaf, k.clone(), v.clone(), mask, None);
            for found in [fused, tracked] {
                found.into_data().assert_approx_eq::<f32>(&plain, Tolerance::absolute(1e-5));
            }
        }
    }
}
