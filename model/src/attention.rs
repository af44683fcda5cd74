//! Scaled dot-product attention, the inner part of Eq. 3, 7 and 9.
//!
//! Two paths give the same numbers: [`attend_plain`] spells the equation out, and [`attend`] takes
//! Burn's fused operation, which on a GPU never stores the scores. A test holds them together.

use burn::tensor::activation::softmax;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, Tensor};

/// `softmax(q kᵀ / √d) v` by Burn's fused operation.
///
/// # Shapes
/// - `query`: `[b, heads, t, d]`, `key` and `value`: `[b, heads, s, d]`
/// - `mask`: `[b, heads, t, s]`, `true` where a query must not look
/// - output: `[b, heads, t, d]`
pub fn attend(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    mask: Option<Tensor<4, Bool>>,
) -> Tensor<4> {
    attention(query, key, value, mask, None, AttentionModuleOptions::default())
}

/// `softmax(q kᵀ / √d) v`, one operation a line. Shapes as in [`attend`].
///
/// `on_weights` sees the attention weights before they meet the values: training drops some.
pub fn attend_plain(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    mask: Option<Tensor<4, Bool>>,
    on_weights: impl FnOnce(Tensor<4>) -> Tensor<4>,
) -> Tensor<4> {
    let [_, _, _, head_dim] = query.dims();
    let scores = query.matmul(key.swap_dims(2, 3)) / (head_dim as f64).sqrt(); // [b, heads, t, s]
    let scores = match mask {
        Some(mask) => scores.mask_fill(mask, f32::NEG_INFINITY),
        None => scores,
    };
    on_weights(softmax(scores, 3)).matmul(value) // [b, heads, t, d]
}

/// `[b, t, heads * d]` to `[b, heads, t, d]`.
pub fn split_heads(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, length, width] = x.dims();
    x.reshape([batch, length, heads, width / heads]).swap_dims(1, 2)
}

/// `[b, heads, t, d]` to `[b, t, heads * d]`.
pub fn merge_heads(x: Tensor<4>) -> Tensor<3> {
    let [batch, heads, length, head_dim] = x.dims();
    x.swap_dims(1, 2).reshape([batch, length, heads * head_dim])
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Distribution, Tolerance};

    #[test]
    fn fused_and_plain_agree_with_and_without_a_mask() {
        let device = crate::test_device();
        let random =
            |shape: [usize; 4]| Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &device);
        let (q, k, v) = (random([2, 3, 5, 8]), random([2, 3, 7, 8]), random([2, 3, 7, 8]));
        let hidden: Vec<bool> = (0..2 * 3 * 5 * 7).map(|i| i % 7 > 2 + (i / 7) % 5).collect();
        let hidden = burn::tensor::TensorData::new(hidden, [2, 3, 5, 7]);
        for mask in [None, Some(Tensor::<4, Bool>::from_data(hidden, &device))] {
            let plain = attend_plain(q.clone(), k.clone(), v.clone(), mask.clone(), |w| w);
            let fused = attend(q.clone(), k.clone(), v.clone(), mask);
            fused
                .into_data()
                .assert_approx_eq::<f32>(&plain.into_data(), Tolerance::absolute(1e-5));
        }
    }

    #[test]
    fn one_key_makes_the_softmax_one() {
        let device = crate::test_device();
        let q = Tensor::<4>::random([1, 2, 4, 8], Distribution::Normal(0.0, 3.0), &device);
        let k = Tensor::<4>::random([1, 2, 1, 8], Distribution::Normal(0.0, 3.0), &device);
        let v = Tensor::<4>::random([1, 2, 1, 8], Distribution::Normal(0.0, 3.0), &device);
        let out = attend_plain(q, k, v.clone(), None, |w| w);
        let expected = v.expand([1, 2, 4, 8]);
        out.into_data().assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(1e-6));
    }
}
