//! The layout of one tensor on disk and in the modules, and the conversion in both directions.

use std::collections::BTreeMap;

use burn::tensor::{DType, Shape, TensorData};
use burn_pack::Tensor as PackTensor;
use burn_store::bridge;
use half::bf16;
use rayon::prelude::*;

use crate::quantize::{Quantization, quantize};

/// Tensors by name, unread.
pub(super) type Tensors = BTreeMap<String, PackTensor>;

/// Checkpoints store the matrices of linear layers `[out, in]`, Burn multiplies by `[in, out]`.
pub(super) fn is_stored_transposed(path: &str, rank: usize) -> bool {
    rank == 2 && !path.ends_with("embed_tokens.weight")
}

/// The tensor as the parameter at `path` expects it. `weights` is the dtype of vision encoder,
/// projector and language model, whose matrices may be kept in fewer bits.
pub(super) fn to_module(
    tensor: PackTensor,
    path: &str,
    weights: DType,
    quantization: Quantization,
) -> PackTensor {
    let mut dtype = dtype_of(&tensor, path, weights, DType::I32);
    let mut shape = tensor.shape.to_vec();
    if let [columns, rows] = shape[..]
        && dtype == DType::F32
    {
        dtype = kept_dtype(path, &[rows, columns], weights, quantization);
    }
    if shape.is_empty() {
        shape.push(1); // the batch counter: a parameter has at least one dimension
    }
    convert(tensor, path, path.to_string(), dtype, shape)
}

/// The tensor of the parameter at `path` as published files have it.
pub(super) fn to_disk(tensor: PackTensor, path: &str, name: &str, weights: DType) -> PackTensor {
    let dtype = dtype_of(&tensor, path, weights, DType::I64);
    let mut shape = tensor.shape.to_vec();
    if path.ends_with("num_batches_tracked") {
        shape.clear(); // a scalar
    }
    convert(tensor, path, name.to_string(), dtype, shape)
}

/// What the weight at `path` is kept in, whose shape is that of the module.
pub(super) fn kept_dtype(
    path: &str,
    shape: &[usize],
    weights: DType,
    quantization: Quantization,
) -> DType {
    match *shape {
        _ if is_always_f32(path) => DType::F32,
        [rows, columns] if weights == DType::F32 && is_stored_transposed(path, 2) => {
            quantization.dtype([rows, columns])
        }
        _ => weights,
    }
}

/// Adapters and mask decoder stay f32 whatever the rest is in: they are small, and they are what
/// training changes.
fn dtype_of(tensor: &PackTensor, path: &str, weights: DType, integers: DType) -> DType {
    match tensor.dtype.is_float() {
        false => integers,
        true if is_always_f32(path) => DType::F32,
        true => weights,
    }
}

fn is_always_f32(path: &str) -> bool {
    path.starts_with("mask_decoder.") || path.contains(".lora.")
}

/// Renames, transposes and casts a tensor when its data is read.
fn convert(
    tensor: PackTensor,
    path: &str,
    name: String,
    dtype: DType,
    mut shape: Vec<usize>,
) -> PackTensor {
    let transposes = is_stored_transposed(path, shape.len());
    if transposes {
        shape.reverse();
    }
    let shape = Shape::from(shape);
    let declared = shape.clone();
    bridge::map_data(tensor, name, dtype, shape, move |data| {
        // Published files are in bf16: it is widened on the way, or half of a load would be for that.
        let data = match (transposes, data.dtype(), dtype) {
            (true, DType::BF16, DType::F32) => transpose(&data, dtype, widen),
            (true, from, _) => match from.size() {
                1 => transpose(&data, from, |x: [u8; 1]| x),
                2 => transpose(&data, from, |x: [u8; 2]| x),
                4 => transpose(&data, from, |x: [u8; 4]| x),
                _ => transpose(&data, from, |x: [u8; 8]| x),
            },
            (false, DType::BF16, DType::F32) => {
                let values = data.as_bytes().as_chunks().0.par_iter().copied().map(widen);
                let values: Vec<[u8; 4]> = values.with_min_len(1 << 16).collect();
                TensorData::from_bytes_vec(values.into_flattened(), declared.clone(), dtype)
            }
            (false, ..) => data,
        };
        if let DType::QFloat(scheme) = dtype {
            return quantize(&data, scheme);
        }
        let (bytes, _, dtype) = data.convert_dtype(dtype).into_parts();
        TensorData::from_bytes(bytes, declared.clone(), dtype)
    })
}

/// From bf16 to f32.
fn widen(bytes: [u8; 2]) -> [u8; 4] {
    bf16::from_ne_bytes(bytes).to_f32().to_ne_bytes()
}

/// Transposes a matrix of values of `FROM` bytes and makes values of `dtype` of them, in tiles: of both
/// matrices, whole lines of the cache are used at once.
fn transpose<const FROM: usize, const TO: usize>(
    data: &TensorData,
    dtype: DType,
    convert: impl Fn([u8; FROM]) -> [u8; TO] + Sync,
) -> TensorData {
    const TILE: usize = 32;
    let [rows, columns] = data.shape().dims();
    let source = data.as_bytes().as_chunks::<FROM>().0;
    let mut target = vec![[0u8; TO]; source.len()];
    target.par_chunks_mut((TILE * rows).max(1)).enumerate().for_each(|(index, target)| {
        let (start, width) = (index * TILE, target.len() / rows);
        let mut tile = [[[0u8; TO]; TILE]; TILE];
        for top in (0..rows).step_by(TILE) {
            let height = TILE.min(rows - top);
            for row in 0..height {
                let values = &source[(top + row) * columns + start..][..width];
                for (column, &value) in tile.iter_mut().zip(values) {
                    column[row] = convert(value);
                }
            }
            for (target, column) in target.chunks_mut(rows).zip(&tile) {
                target[top..top + height].copy_from_slice(&column[..height]);
            }
        }
    });
    TensorData::from_bytes_vec(target.into_flattened(), [columns, rows], dtype)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_tiles_equals_the_definition() {
        for [rows, columns] in [[37, 70], [1, 5], [64, 32], [3, 0], [0, 3]] {
            let values: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
            let data = TensorData::new(values.clone(), [rows, columns]);
            let transposed = transpose(&data, DType::F32, |x: [u8; 4]| x);
            assert_eq!(transposed.shape().to_vec(), [columns, rows]);
            for (index, value) in transposed.iter::<f32>().enumerate() {
                assert_eq!(value, values[index % rows * columns + index / rows]);
            }
        }
    }

    /// 1.5 is 0x3fc0 in bf16, and -2 is 0xc000.
    #[test]
    fn bf16_is_widened_on_the_way() {
        let bits = [0x3fc0u16, 0xc000, 0];
        let bytes = bits.iter().flat_map(|bits| bits.to_ne_bytes()).collect();
        let data = TensorData::from_bytes_vec(bytes, [3, 1], DType::BF16);
        let expected = TensorData::from([[1.5f32, -2.0, 0.0]]);
        transpose(&data, DType::F32, widen).assert_eq(&expected, true);
    }
}
