//! Casts of weights on all threads.

use burn::tensor::{DType, TensorData};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;

/// Values that a thread casts at a time.
const CHUNK: usize = 1 << 16;

/// [`TensorData::convert_dtype`], faster where half precision becomes f32.
pub(super) fn cast(data: TensorData, dtype: DType) -> TensorData {
    let widened = match (data.dtype(), dtype) {
        (DType::BF16, DType::F32) => data.as_slice::<bf16>().map(widen),
        (DType::F16, DType::F32) => data.as_slice::<f16>().map(widen),
        _ => return data.convert_dtype(dtype),
    };
    match widened {
        Ok(values) => TensorData::new(values, data.shape().clone()),
        Err(_) => data.convert_dtype(dtype), // bytes that are not aligned
    }
}

fn widen<T: Sync>(values: &[T]) -> Vec<f32>
where
    [T]: HalfFloatSliceExt,
{
    let mut widened = vec![0.0; values.len()];
    let chunks = values.par_chunks(CHUNK).zip(widened.par_chunks_mut(CHUNK));
    chunks.for_each(|(values, widened)| values.convert_to_f32_slice(widened));
    widened
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every value of half precision, several times.
    #[test]
    fn equals_burn_to_the_last_bit() {
        let bits = || (0..=u16::MAX).cycle().take(3 * (1 << 16) + 5);
        let count = bits().count();
        let values = TensorData::new(bits().map(bf16::from_bits).collect::<Vec<_>>(), [count]);
        let other = TensorData::new(bits().map(f16::from_bits).collect::<Vec<_>>(), [count]);
        for values in [values, other] {
            let expected = values.clone().convert_dtype(DType::F32);
            let found = cast(values, DType::F32);
            assert_eq!(found.shape(), expected.shape());
            let pairs = found.iter::<f32>().zip(expected.iter::<f32>());
            assert!(pairs.into_iter().all(|(a, b)| a == b || a.is_nan() && b.is_nan()));
        }
    }
}
