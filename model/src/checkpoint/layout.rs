//! The layout of one tensor on disk and in the modules, and the conversion in both directions.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Shape, TensorData};
use burn_pack::Tensor as PackTensor;
use burn_store::bridge;

use super::cast::cast;
use crate::cpu::is_cpu;
use crate::quantize::{Quantization, quantize};

/// Tensors by name, unread.
pub(super) type Tensors = BTreeMap<String, PackTensor>;

/// Checkpoints store the matrices of linear layers `[out, in]`, Burn multiplies by `[in, out]`.
pub(super) fn is_stored_transposed(path: &str, rank: usize) -> bool {
    rank == 2 && !path.ends_with("embed_tokens.weight")
}

/// Whether a matrix stays `[out, in]` in memory, which the parameter sees transposed: nothing is moved on
/// loading, and the kernels of the CPU take both orders. Quantised blocks and trained weights are `[in, out]`.
pub(super) fn stays_in_file_order(path: &str, rank: usize, dtype: DType, device: &Device) -> bool {
    let kept = is_cpu(device) && dtype.is_float() && !matches!(dtype, DType::QFloat(_));
    kept && is_stored_transposed(path, rank) && !is_always_f32(path)
}

/// The tensor as the parameter at `path` expects it, but for the order of a matrix that
/// [stays as it is](stays_in_file_order). `weights` is the dtype of vision encoder,
/// projector and language model, whose matrices may be kept in fewer bits.
pub(super) fn to_module(
    tensor: PackTensor,
    path: &str,
    weights: DType,
    quantization: Quantization,
    device: &Device,
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
    let transposes = is_stored_transposed(path, shape.len())
        && !stays_in_file_order(path, shape.len(), dtype, device);
    convert(tensor, path.to_string(), dtype, shape, transposes)
}

/// The tensor of the parameter at `path` as published files have it.
pub(super) fn to_disk(tensor: PackTensor, path: &str, name: &str, weights: DType) -> PackTensor {
    let dtype = dtype_of(&tensor, path, weights, DType::I64);
    let mut shape = tensor.shape.to_vec();
    if path.ends_with("num_batches_tracked") {
        shape.clear(); // a scalar
    }
    let transposes = is_stored_transposed(path, shape.len());
    convert(tensor, name.to_string(), dtype, shape, transposes)
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
    name: String,
    dtype: DType,
    mut shape: Vec<usize>,
    transposes: bool,
) -> PackTensor {
    if transposes {
        shape.reverse();
    }
    let shape = Shape::from(shape);
    let declared = shape.clone();
    bridge::map_data(tensor, name, dtype, shape, move |data| {
        // Half precision is transposed before it is widened: memory peaks here.
        let data = if transposes { transpose(data) } else { data };
        if let DType::QFloat(scheme) = dtype {
            return quantize(&data, scheme);
        }
        let (bytes, _, dtype) = cast(data, dtype).into_parts();
        TensorData::from_bytes(bytes, declared.clone(), dtype)
    })
}

/// Transposes a matrix in blocks that stay in the cache.
fn transpose(data: TensorData) -> TensorData {
    const BLOCK: usize = 32;
    let ([rows, columns], dtype) = ([data.shape()[0], data.shape()[1]], data.dtype());
    let size = dtype.size();
    let source = data.as_bytes();
    let mut target = vec![0u8; source.len()];
    for row_block in (0..rows).step_by(BLOCK) {
        for column_block in (0..columns).step_by(BLOCK) {
            for row in row_block..(row_block + BLOCK).min(rows) {
                for column in column_block..(column_block + BLOCK).min(columns) {
                    let (from, to) =
                        ((row * columns + column) * size, (column * rows + row) * size);
                    target[to..to + size].copy_from_slice(&source[from..from + size]);
                }
            }
        }
    }
    TensorData::from_bytes_vec(target, [columns, rows], dtype)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_blocks_equals_the_definition() {
        let (rows, columns) = (37, 70);
        let values: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
        let transposed = transpose(TensorData::new(values.clone(), [rows, columns]));
        assert_eq!(transposed.shape().to_vec(), [columns, rows]);
        for (index, value) in transposed.iter::<f32>().enumerate() {
            assert_eq!(value, values[index % rows * columns + index / rows]);
        }
    }
}
