//! Weights of linear layers that are kept in fewer bits than they are computed in.
//!
//! Values stay f32: on the CPU, a kernel widens a weight part by part where it uses it. Elsewhere, and
//! without kernels, Burn's own operations widen it as a whole at each call.

use std::str::FromStr;

use burn::tensor::quantization::{QuantScheme, QuantStore, QuantValue, ScaleDtype};
use burn::tensor::{DType, TensorData};

/// What the matrices of vision encoder, projector and language model are kept in. The token table,
/// adapters and mask decoder are not concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quantization {
    /// What they are computed in.
    #[default]
    None,
    /// bf16: half of f32, and the values of a file that is in bf16 are kept as they are.
    Bf16,
    /// 8 bits, with a scale for 128 inputs or fewer of an output.
    Q8,
}

/// Most inputs of an output that share a scale: of 4 bytes, so that they add a thirty-second.
const BLOCK: usize = 128;

impl FromStr for Quantization {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "bf16" => Ok(Self::Bf16),
            "q8" => Ok(Self::Q8),
            _ => Err(format!("expected none, bf16 or q8, found {text:?}")),
        }
    }
}

impl Quantization {
    /// What a weight `[rows, columns]` is kept in, computed in f32: itself where its rows are no
    /// whole number of blocks.
    pub(crate) fn dtype(self, [rows, columns]: [usize; 2]) -> DType {
        match (self, block(rows)) {
            (Self::Bf16, _) => DType::BF16,
            (Self::Q8, Some(block)) if columns > 0 => DType::QFloat(scheme(block)),
            _ => DType::F32,
        }
    }
}

/// The largest block, a power of two from 8 on, that divides the rows.
fn block(rows: usize) -> Option<u8> {
    let largest = (rows > 0).then(|| BLOCK.min(1 << rows.trailing_zeros()));
    largest.filter(|&block| block >= 8).map(|block| block as u8)
}

fn scheme(block: u8) -> QuantScheme {
    let scheme = QuantScheme::default().with_value(QuantValue::Q8S).with_store(QuantStore::Native);
    scheme.per_block([block, 1], ScaleDtype::F32)
}

/// The bytes of so many values; those of 8 bits come with their scales.
pub(crate) fn stored_bytes(dtype: DType, values: usize) -> usize {
    match dtype {
        DType::QFloat(scheme) => values + values / block_of(scheme) * size_of::<f32>(),
        dtype => values * dtype.size(),
    }
}

/// How many values share a scale.
fn block_of(scheme: QuantScheme) -> usize {
    scheme.block_size().map_or(1, |block| usize::from(block.as_slice()[0]))
}

/// Quantises a matrix, as Burn does; a block with a NaN is NaN as a whole.
///
/// # Shapes
/// - `weight`: `[rows, columns]`, `rows` a whole number of blocks of `scheme`
pub(crate) fn quantize(weight: &TensorData, scheme: QuantScheme) -> TensorData {
    let shape = weight.shape().clone();
    let block = block_of(scheme);
    let columns = shape[1];
    let mut source = weight.iter::<f32>();
    // The values, then the scales. `TensorData::quantized` would grow a list of values to twice its size.
    let count = shape.num_elements();
    let mut scales = Vec::with_capacity(count / block);
    let mut bytes = Vec::with_capacity(count + size_of::<f32>() * scales.capacity());
    for _ in 0..shape[0] / block {
        let rows: Vec<f32> = source.by_ref().take(block * columns).collect();
        let mut peaks = vec![0f32; columns];
        for row in rows.chunks(columns) {
            for (peak, x) in peaks.iter_mut().zip(row) {
                let size = x.abs();
                *peak = if size <= *peak || peak.is_nan() { *peak } else { size };
            }
        }
        let (_, range) = scheme.value.range();
        let steps = peaks.iter().map(|peak| peak / range);
        let inverses: Vec<f32> =
            steps.clone().map(|x| if x > 0.0 { 1.0 / x } else { 0.0 }).collect();
        scales.extend(steps);
        for row in rows.chunks(columns) {
            let scaled = row.iter().zip(&inverses).map(|(x, inverse)| x * inverse);
            bytes.extend(scaled.map(|x| x.round().clamp(-range, range) as i8 as u8));
        }
    }
    bytes.extend(scales.into_iter().flat_map(f32::to_ne_bytes));
    TensorData::from_bytes_vec(bytes, shape, DType::QFloat(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::{Activation, linear, without_kernels};
    use burn::tensor::{Distribution, Tensor, Tolerance};

    fn random(shape: [usize; 2]) -> Tensor<2> {
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), &crate::test_device())
    }

    fn kept(weight: &Tensor<2>, quantization: Quantization) -> Tensor<2> {
        let data = weight.to_data();
        let dtype = quantization.dtype(weight.dims());
        let data = match dtype {
            DType::QFloat(scheme) => quantize(&data, scheme),
            _ => data.convert_dtype(dtype),
        };
        Tensor::from_data(data, (&weight.device(), dtype))
    }

    #[test]
    fn values_and_scales_are_those_of_burn() {
        for rows in [8, 24, 256] {
            let weight = random([rows, 5]);
            let DType::QFloat(scheme) = Quantization::Q8.dtype([rows, 5]) else { panic!() };
            let expected = weight.clone().quantize_dynamic(&scheme).into_data();
            let found = quantize(&weight.into_data(), scheme);
            assert_eq!(found, expected);
        }
        assert_eq!(Quantization::Q8.dtype([12, 5]), DType::F32); // blocks of 4 are too small
        assert_eq!(Quantization::Q8.dtype([0, 5]), DType::F32);
    }

    /// The kernel on the CPU, and Burn's own operations.
    #[test]
    fn kernels_agree_with_burn() {
        let (x, weight) = (random([7, 256]), random([256, 90]));
        for quantization in [Quantization::Bf16, Quantization::Q8] {
            let weight = kept(&weight, quantization);
            assert_ne!(weight.dtype(), DType::F32);
            let product = || linear(x.clone(), weight.clone(), None, Activation::Identity);
            let plain = without_kernels(product).into_data();
            product().into_data().assert_approx_eq::<f32>(&plain, Tolerance::absolute(1e-4));
        }
    }

    /// A step of a block is a 127th of its largest value; half of one is the largest error.
    #[test]
    fn errors_are_bounded_and_nan_is_not_hidden() {
        let weight = random([128, 3]);
        let largest: f32 = weight.clone().abs().max().into_scalar();
        let error = (kept(&weight, Quantization::Q8).dequantize() - weight.clone()).abs().max();
        let error: f32 = error.into_scalar();
        assert!(error > 0.0 && error <= largest / 254.0 * 1.001, "{error} {largest}");

        let mut data: Vec<f32> = weight.into_data().iter().collect();
        data[3] = f32::NAN; // row 1, column 0
        let weight = Tensor::<2>::from_data(TensorData::new(data, [128, 3]), &crate::test_device());
        let weight = kept(&weight, Quantization::Q8);
        let y = linear(random([1, 128]), weight, None, Activation::Identity).into_data();
        let y: Vec<f32> = y.iter().collect();
        assert!(y[0].is_nan() && y[1].is_finite() && y[2].is_finite(), "{y:?}");
    }
}
