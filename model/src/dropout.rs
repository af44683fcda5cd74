//! Dropout in training.
//!
//! Burn's own holds its mask in the dtype of the map; here a mask is a bool for each element.
//!
//! The adapters of the language model draw their masks from a seed on the host, which is set for
//! the thread as PyTorch sets its default generator ([`training_forward`]). Gradient checkpointing
//! runs a layer twice and needs the same numbers both times. Seeding the device a second time would
//! not give the same masks: a device may draw later, on another thread.

use std::cell::Cell;

use burn::nn::Dropout;
use burn::tensor::{Bool, DType, Device, Distribution, Int, Tensor, TensorData};

/// Drops elements of a map, in training only.
pub(crate) fn drop_elements<const D: usize>(dropout: &Dropout, x: Tensor<D>) -> Tensor<D> {
    match dropped_elements(dropout, &x) {
        None => x,
        Some((dropped, kept)) => x.mask_fill(dropped, 0.0) * (1.0 / kept),
    }
}

/// `true` where [`drop_elements`] drops, and the share of elements that are kept; `None` outside of
/// training.
pub(crate) fn dropped_elements<const D: usize>(
    dropout: &Dropout,
    like: &Tensor<D>,
) -> Option<(Tensor<D, Bool>, f64)> {
    let drops = drops(dropout) && like.is_autodiff();
    drops.then(|| {
        let drawn = like.clone().inner().random_like(Distribution::Bernoulli(dropout.prob));
        (drawn.greater_elem(0.5), 1.0 - dropout.prob)
    })
}

/// Whether it drops anything in training.
pub(crate) fn drops(dropout: &Dropout) -> bool {
    dropout.training.is_enabled() && dropout.prob > 0.0
}

thread_local! {
    /// Seed of the next adapter's mask on this thread; `None` outside of training.
    static NEXT_SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Runs `forward` as training does, whether gradients are recorded or not: with dropout in the
/// adapters, and without fused operations whose rounding differs. The same seed gives the same
/// masks.
pub fn training_forward<T>(seed: u64, forward: impl FnOnce() -> T) -> T {
    /// Puts the outer seed back, also when `forward` panics.
    struct Restore(Option<u64>);

    impl Drop for Restore {
        fn drop(&mut self) {
            NEXT_SEED.set(self.0);
        }
    }

    let _restore = Restore(NEXT_SEED.replace(Some(seed)));
    forward()
}

/// Whether this is inside of [`training_forward`].
pub(crate) fn is_training_forward() -> bool {
    NEXT_SEED.get().is_some()
}

/// An adapter's input with some elements set to zero inside of [`training_forward`], and the share
/// of elements that are kept.
///
/// # Shapes
/// - `x`: `[b t, in]`, output: the same
pub(crate) fn drop_adapter_input(dropout: &Dropout, x: Tensor<2>) -> (Tensor<2>, f64) {
    let Some(seed) = NEXT_SEED.get().filter(|_| drops(dropout)) else {
        return (x, 1.0);
    };
    NEXT_SEED.set(Some(mix(seed)));
    let dropped = adapter_mask(seed, x.dims(), dropout.prob, &x.device().without_autodiff());
    (x.mask_fill(dropped, 0.0), 1.0 - dropout.prob)
}

/// `true` with a probability. Each row and each column has a random number, and a hash of their sum
/// decides an element. So the host draws only `rows + columns` numbers.
///
/// # Shapes
/// - output: `[rows, columns]`
fn adapter_mask(
    seed: u64,
    [rows, columns]: [usize; 2],
    probability: f64,
    device: &Device,
) -> Tensor<2, Bool> {
    let numbers: Vec<i32> =
        (0..(rows + columns) as u64).map(|i| (mix(seed ^ mix(i)) >> 32) as i32).collect();
    let numbers = TensorData::new(numbers, [rows + columns]);
    let numbers = Tensor::<1, Int>::from_data(numbers, (device, DType::I32));
    let of_rows = numbers.clone().narrow(0, 0, rows).reshape([rows, 1]);
    let of_columns = numbers.narrow(0, rows, columns).reshape([1, columns]);
    // A product mixes low bits into high ones, and the shift brings these back. The high bits of the
    // second product decide.
    let product = (of_rows + of_columns) * FIRST; // [rows, columns]
    let high = product.clone().bitwise_right_shift_scalar(15).bitwise_and_scalar(LOW_17_BITS);
    let hash = product.bitwise_xor(high) * SECOND;
    let threshold = f64::from(i32::MIN) + probability * 2f64.powi(32);
    hash.lower_elem(threshold as i32)
}

/// One step of SplitMix64: all bits of the result depend on all bits of the input.
pub fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Odd, without a pattern (the golden ratio in 32 bits).
const FIRST: i32 = 0x9e37_79b9_u32 as i32;
/// Odd, without a pattern (a multiplier of MurmurHash3's last step).
const SECOND: i32 = 0x85eb_ca6b_u32 as i32;
/// Of 32 bits, those that a shift by 15 keeps; an arithmetic shift fills the others with the sign.
const LOW_17_BITS: i32 = 0x1_ffff;

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::DropoutConfig;

    fn share(mask: Tensor<2, Bool>) -> f64 {
        f64::from(mask.float().mean().into_scalar::<f32>())
    }

    /// The standard deviation of a share of 5 % of 400 x 300 elements is 0.0006; of the share of
    /// pairs that are dropped twice, 0.25 %, it is 0.00014.
    #[test]
    fn elements_are_dropped_independently() {
        let mask = |seed| adapter_mask(seed, [400, 300], 0.05, &crate::test_device());
        let gate = mask(1);
        assert!((share(gate.clone()) - 0.05).abs() < 0.003);
        let neighbours = |dimension: usize| {
            let last = gate.dims()[dimension] - 1;
            let first = gate.clone().narrow(dimension, last, 1);
            Tensor::cat(vec![first, gate.clone().narrow(dimension, 0, last)], dimension)
        };
        for other in [mask(2), mask(mix(1)), neighbours(0), neighbours(1)] {
            let share = share(gate.clone().bool_and(other));
            assert!((share - 0.0025).abs() < 0.0007, "{share}");
        }
        // No row and no column is dropped more than others.
        for dimension in [0, 1] {
            let most = gate.clone().float().mean_dim(dimension).max().into_scalar::<f32>();
            assert!(most < 0.12, "{most}");
        }
    }

    #[test]
    fn a_seed_decides_the_masks_and_none_is_drawn_without() {
        let dropout = DropoutConfig::new(0.5).init();
        let x = Tensor::<2>::ones([7, 9], &crate::test_device());
        let drop = || drop_adapter_input(&dropout, x.clone()).0.into_data();
        let [first, again] = [(); 2].map(|()| training_forward(3, || [drop(), drop()]));
        assert_eq!(first, again);
        assert_ne!(first[0], first[1]);
        assert_ne!(first, training_forward(4, || [drop(), drop()]));
        assert_eq!(drop(), x.clone().into_data());
    }
}
