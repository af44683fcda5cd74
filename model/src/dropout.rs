//! Dropout in training.
//!
//! Burn's own holds its mask in the dtype of the map; here a mask is a truth value for each element.
//! In the language model it can moreover be made a second time, for a pass that is repeated: it is a
//! function of a few drawn numbers ([`LayerNoise`]). Seeding a device anew would not do, since what
//! it draws may be drawn later, on another thread.

use burn::nn::Dropout;
use burn::tensor::{Bool, DType, Device, Distribution, Int, Tensor};

/// Drops elements of a map, in training only.
pub(crate) fn drop_elements<const D: usize>(dropout: &Dropout, x: Tensor<D>) -> Tensor<D> {
    match dropped_elements(dropout, &x) {
        None => x,
        Some(dropped) => x.mask_fill(dropped, 0.0) * (1.0 / (1.0 - dropout.prob)),
    }
}

/// `true` where [`drop_elements`] drops; `None` outside of training.
pub(crate) fn dropped_elements<const D: usize>(
    dropout: &Dropout,
    like: &Tensor<D>,
) -> Option<Tensor<D, Bool>> {
    let drops = drops(dropout) && like.is_autodiff();
    drops.then(|| {
        let drawn = like.clone().inner().random_like(Distribution::Bernoulli(dropout.prob));
        drawn.greater_elem(0.5)
    })
}

/// Whether it drops anything in training.
pub(crate) fn drops(dropout: &Dropout) -> bool {
    dropout.training.is_enabled() && dropout.prob > 0.0
}

/// The linear layers of a decoder layer, each of which drops other elements of its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // they are what they are called
pub enum Slot {
    /// InternLM2's packed projection, or Qwen2's of the queries.
    Query,
    Key,
    Value,
    Output,
    Gate,
    Up,
    Down,
}

impl Slot {
    const COUNT: usize = Self::Down as usize + 1;
}

/// What the dropout of one layer in one pass is made of: a number for each row of its inputs and,
/// for each of its linear layers, one for each column. An element is dropped by a hash of the sum
/// of the two.
#[derive(Debug, Clone)]
pub struct LayerNoise {
    /// `[rows, 1]`
    rows: Tensor<2, Int>,
    /// `[slots, widest]`
    columns: Tensor<2, Int>,
}

impl LayerNoise {
    /// Draws numbers for inputs of so many rows and up to `widest` columns.
    pub fn draw(rows: usize, widest: usize, device: &Device) -> Self {
        let count = rows + Slot::COUNT * widest;
        // Devices draw integers by way of floats: two halves have all of their bits.
        let half = Distribution::Uniform(0.0, 65536.0);
        let halves = Tensor::<2, Int>::random([2, count], half, (device, DType::I32));
        let high = halves.clone().narrow(0, 0, 1);
        let numbers = high * 65536 + halves.narrow(0, 1, 1); // [1, count]
        Self {
            rows: numbers.clone().narrow(1, 0, rows).reshape([rows, 1]),
            columns: numbers
                .narrow(1, rows, count - rows)
                .reshape([Slot::COUNT, (count - rows) / Slot::COUNT]),
        }
    }

    /// `true` where an element of a layer's input is dropped.
    ///
    /// # Shapes
    /// - output: `[rows, width]`
    pub(crate) fn dropped(&self, slot: Slot, width: usize, probability: f64) -> Tensor<2, Bool> {
        let columns = self.columns.clone().narrow(0, slot as usize, 1).narrow(1, 0, width); // [1, width]
        // A multiplication carries low bits to high ones, the shift brings those back; of the second
        // product the high bits decide.
        let product = (self.rows.clone() + columns) * FIRST; // [rows, width]
        let high = product.clone().bitwise_right_shift_scalar(15).bitwise_and_scalar(LOW_17_BITS);
        let hash = product.bitwise_xor(high) * SECOND;
        let threshold = f64::from(i32::MIN) + probability * 2f64.powi(32);
        hash.lower_elem(threshold as i32)
    }
}

/// Odd, without a pattern (the golden ratio in 32 bits).
const FIRST: i32 = 0x9e37_79b9_u32 as i32;
/// Odd, without a pattern (a multiplier of MurmurHash3's last step).
const SECOND: i32 = 0x85eb_ca6b_u32 as i32;
/// What a shift by 15 leaves of 32 bits; an arithmetic one fills the others with the sign.
const LOW_17_BITS: i32 = 0x1_ffff;

#[cfg(test)]
mod tests {
    use super::*;

    fn share(mask: Tensor<2, Bool>) -> f64 {
        f64::from(mask.float().mean().into_scalar::<f32>())
    }

    /// The standard deviation of a share of 5 % of 400 x 300 elements is 0.0006; of the share of
    /// pairs that are dropped twice, 0.25 %, it is 0.00014.
    #[test]
    fn elements_are_dropped_independently() {
        let noise = LayerNoise::draw(400, 300, &crate::test_device());
        let gate = noise.dropped(Slot::Gate, 300, 0.05);
        assert!((share(gate.clone()) - 0.05).abs() < 0.003);
        let both = |other: Tensor<2, Bool>| share(gate.clone().bool_and(other));
        let neighbours = |dimension: usize| {
            let last = gate.dims()[dimension] - 1;
            let first = gate.clone().narrow(dimension, last, 1);
            Tensor::cat(vec![first, gate.clone().narrow(dimension, 0, last)], dimension)
        };
        let pairs = [noise.dropped(Slot::Up, 300, 0.05), neighbours(0), neighbours(1)];
        for pair in pairs {
            let share = both(pair);
            assert!((share - 0.0025).abs() < 0.0007, "{share}");
        }
        // No row and no column is dropped more than others.
        for dimension in [0, 1] {
            let shares = gate.clone().float().mean_dim(dimension);
            let most = shares.max().into_scalar::<f32>();
            assert!(most < 0.12, "{most}");
        }
    }

    #[test]
    fn the_same_numbers_drop_the_same_elements() {
        let noise = LayerNoise::draw(7, 9, &crate::test_device());
        let masks = [(); 2].map(|()| noise.dropped(Slot::Query, 9, 0.5).into_data());
        masks[0].assert_eq(&masks[1], true);
        // A narrower layer takes the first of the columns.
        assert_eq!(noise.dropped(Slot::Down, 4, 0.5).dims(), [7, 4]);
        assert_eq!(share(noise.dropped(Slot::Key, 9, 0.0)), 0.0);
    }
}
