//! Memory-efficient operations: they hold less for the backward pass than their compositions.
//!
//! The autodiff graph holds what each single operation needs: four maps for `silu(gate) · up`, whose
//! derivatives need only two, and three for a softmax, whose derivative needs only its result. Here
//! a function `f` and its derivative are computed outside of the graph, and the graph is given the
//! straight-through form `f(x) + f'(x) · (x - x)`, where only the first `x` of the difference is
//! tracked. Value and gradient are those of `f`, and the graph holds only the derivative.

use burn::tensor::activation::{sigmoid, softmax};
use burn::tensor::{Bool, DType, Tensor};

use crate::cpu;

/// Zeros that pass gradients on to `x`, and hold nothing.
fn straight_through_zero<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clone() - x.inner()
}

/// `silu(gate) · up`, the middle of SwiGLU.
///
/// # Shapes
/// - all: `[..., mlp]`
pub(crate) fn gated_silu(gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
    if !gate.is_tracked() && !up.is_tracked() {
        return cpu::gated_silu(gate, up);
    }
    let (x, by_gate) = (gate.clone().inner(), up.clone().inner());
    let share = sigmoid(x.clone());
    let by_up = x.clone() * share.clone(); // silu
    // silu' = s · (1 + x · (1 - s))
    let slope = share.clone() * (x * (share.neg() + 1.0) + 1.0);
    let value = by_up.clone() * by_gate.clone();
    straight_through_zero(gate) * (slope * by_gate) + straight_through_zero(up) * by_up + value
}

/// `softmax(scores) · value`, where the softmax is computed in f32.
///
/// # Shapes
/// - `scores`: `[b, heads, t, s]`, `value`: `[b, heads, s, d]`
/// - `masked`: `true` where a query must not attend, `dropped`: the weights that dropout sets to
///   zero with the share of those kept; both masks `[b, heads, t, s]`
/// - output: `[b, heads, t, d]`
pub(crate) fn softmax_matmul(
    scores: Tensor<4>,
    value: Tensor<4>,
    masked: Option<Tensor<4, Bool>>,
    dropped: Option<(Tensor<4, Bool>, f64)>,
) -> Tensor<4> {
    let exact = scores.clone().inner().cast(DType::F32);
    let exact = match masked {
        Some(masked) => exact.mask_fill(masked, f32::NEG_INFINITY),
        None => exact,
    };
    let weights = softmax(exact, 3).cast(scores.dtype()); // [b, heads, t, s]
    let drop = |weights: Tensor<4>| match &dropped {
        Some((dropped, kept)) => weights.mask_fill(dropped.clone(), 0.0) * (1.0 / kept),
        None => weights,
    };
    if !scores.is_tracked() && !value.is_tracked() {
        return drop(weights).matmul(value);
    }
    // The derivative of a softmax is w · (dx - sum(w · dx)); masked weights are 0, and so is it.
    let change = straight_through_zero(scores) * weights.clone();
    let change = change.clone() - change.sum_dim(3) * weights.clone();
    // Two products with one `value`, so that the graph holds each factor only once.
    drop(change).matmul(value.clone().inner()) + drop(weights).autodiff().matmul(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::activation::silu;
    use burn::tensor::{Distribution, TensorData, Tolerance};

    fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
        let device = crate::test_device().autodiff();
        Tensor::random(shape, Distribution::Normal(0.0, 1.5), &device).require_grad()
    }

    /// Value and gradients of two tensors agree with those of the composition.
    fn agree<const D: usize>(
        inputs: [Tensor<D>; 2],
        found: impl Fn(Tensor<D>, Tensor<D>) -> Tensor<D>,
        plain: impl Fn(Tensor<D>, Tensor<D>) -> Tensor<D>,
    ) {
        let gradients = |y: Tensor<D>| {
            let weights = y.clone().inner();
            let gradients = (y.clone() * (weights + 0.5)).sum().backward();
            let [a, b] = inputs.clone().map(|x| x.grad(&gradients).expect("a leaf").into_data());
            [y.into_data(), a, b]
        };
        let [a, b] = inputs.clone();
        let found = gradients(found(a.clone(), b.clone()));
        for (found, plain) in found.iter().zip(gradients(plain(a, b))) {
            found.assert_approx_eq::<f32>(&plain, Tolerance::rel_abs(1e-5, 1e-5));
        }
    }

    #[test]
    fn gated_silu_is_the_product() {
        agree([random([2, 3, 8]), random([2, 3, 8])], gated_silu, |gate, up| silu(gate) * up);
    }

    #[test]
    fn softmax_matmul_is_a_softmax_and_a_product() {
        let device = crate::test_device();
        let mask = |at: fn(usize) -> bool| {
            let values: Vec<bool> = (0..2 * 4 * 4).map(at).collect();
            Tensor::<4, Bool>::from_data(TensorData::new(values, [1, 2, 4, 4]), &device)
        };
        let (hidden, dropped) = (mask(|i| i % 4 > (i / 4) % 4), mask(|i| i % 5 == 0));
        for hidden in [None, Some(hidden)] {
            for dropped in [None, Some((dropped.clone(), 0.8))] {
                let found =
                    |scores, value| softmax_matmul(scores, value, hidden.clone(), dropped.clone());
                agree([random([1, 2, 4, 4]), random([1, 2, 4, 4])], found, |scores, value| {
                    let scores = match hidden.clone() {
                        Some(hidden) => scores.mask_fill(hidden, f32::NEG_INFINITY),
                        None => scores,
                    };
                    let weights = softmax(scores, 3);
                    let weights = match dropped.clone() {
                        Some((dropped, kept)) => weights.mask_fill(dropped, 0.0) / kept,
                        None => weights,
                    };
                    weights.matmul(value)
                });
            }
        }
    }
}
