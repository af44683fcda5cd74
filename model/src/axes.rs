//! Reordering the axes of a tensor.

use burn::tensor::Tensor;

/// As `Tensor::permute`. Burn 0.22.1 sends that to a device of another host as a permutation of
/// integers, which a CPU there refuses (burn-fusion, `float_permute`). Swaps of two axes arrive
/// correctly and cost as little: no value moves.
///
/// Axis `i` of the output is axis `axes[i]` of the input; `axes` names each axis once.
pub fn permute<const D: usize>(mut x: Tensor<D>, axes: [usize; D]) -> Tensor<D> {
    let mut order: [usize; D] = std::array::from_fn(|axis| axis);
    for (place, axis) in axes.into_iter().enumerate() {
        let now = order.iter().position(|&at| at == axis).unwrap_or(place);
        if now != place {
            order.swap(place, now);
            x = x.swap_dims(place, now);
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Int;

    #[test]
    fn equals_burns_own() {
        let shape = [2, 3, 4, 5, 6];
        let device = crate::test_device();
        let x = Tensor::<1, Int>::arange(0..720, &device).float().reshape(shape);
        for axes in [[0, 3, 1, 4, 2], [0, 2, 3, 4, 1], [4, 3, 2, 1, 0], [1, 2, 0, 4, 3]] {
            let order = axes.map(|axis| axis as isize);
            let expected = x.clone().permute(order).into_data();
            permute(x.clone(), axes).into_data().assert_eq(&expected, true);
        }
    }
}
