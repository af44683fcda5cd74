//! One safetensors file: the header is checked at once, tensors are read on demand.
//!
//! Reading instead of mapping keeps the peak memory of a load at the model plus one tensor, and a
//! file that shrinks meanwhile is an error and not a signal.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use burn::tensor::{Bytes, DType, Shape, TensorData};
use burn_pack::{Error as PackError, Tensor as PackTensor};
use burn_store::bridge;
use bytemuck::Pod;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::error::CheckpointError;
use super::folder::Source;

/// Longest header that is accepted; a published 8B model's is under 200 KB.
const MAX_HEADER: u64 = 100 << 20;

/// Each dtype that tensors may have: the format's and Burn's.
pub(super) const DTYPES: [(Dtype, DType); 7] = [
    (Dtype::F64, DType::F64),
    (Dtype::F32, DType::F32),
    (Dtype::F16, DType::F16),
    (Dtype::BF16, DType::BF16),
    (Dtype::I64, DType::I64),
    (Dtype::I32, DType::I32),
    (Dtype::U8, DType::U8),
];

/// All tensors of a file of trusted size, by name.
///
/// # Errors
/// [`CheckpointError::Malformed`] and [`CheckpointError::Io`].
pub fn read_safetensors(path: &Path) -> Result<BTreeMap<String, TensorData>, CheckpointError> {
    let read = |tensor: PackTensor| Ok((tensor.name.clone(), bridge::into_data(tensor)?));
    let source = Source::Disk(path.to_path_buf());
    let tensors = open(&source)?.into_iter().map(read).collect::<Result<_, PackError>>();
    tensors.map_err(|error| CheckpointError::malformed(path, error))
}

/// What the file says of itself: `__metadata__`.
///
/// # Errors
/// As [`read_safetensors`].
pub fn read_metadata(path: &Path) -> Result<BTreeMap<String, String>, CheckpointError> {
    let (header, _) = read_header(&Source::Disk(path.to_path_buf()))?;
    let metadata = header.metadata().iter().flatten();
    Ok(metadata.map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// The tensors of a file, unread.
pub(super) fn open(source: &Source) -> Result<Vec<PackTensor>, CheckpointError> {
    let (header, start) = read_header(source)?;
    header.tensors().into_iter().map(|(name, info)| deferred(source, name, info, start)).collect()
}

/// The checked header of a file, and where its data begins.
fn read_header(source: &Source) -> Result<(Metadata, u64), CheckpointError> {
    const LENGTH_BYTES: u64 = 8;
    let path = source.path();
    let io = || CheckpointError::io(path);
    let wrong = |message: String| CheckpointError::malformed(path, message);
    let file_length = source.length().map_err(io())?;
    let Some(after_length) = file_length.checked_sub(LENGTH_BYTES) else {
        return Err(wrong(format!(
            "expected a safetensors header, found a file of {file_length} bytes"
        )));
    };
    let length = source.read(0, LENGTH_BYTES as usize).map_err(io())?;
    let header_length = length.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
    if header_length > MAX_HEADER.min(after_length) {
        return Err(wrong(format!(
            "the header claims {header_length} bytes, but the file has {after_length} after the \
             length and at most {MAX_HEADER} are accepted"
        )));
    }
    let header = source.read(LENGTH_BYTES, header_length as usize).map_err(io())?;
    // Checks that the ranges are without holes or overlaps and fit shapes and dtypes.
    let metadata: Metadata = serde_json::from_slice(&header)
        .map_err(|error| wrong(format!("unusable header: {error}")))?;
    let (described, held) = (metadata.data_len() as u64, after_length - header_length);
    if described != held {
        return Err(wrong(format!(
            "the header describes {described} bytes of tensors, the file holds {held}"
        )));
    }
    Ok((metadata, file_length - held))
}

/// One tensor, which is read on demand. `data_start`: where the file's data begins.
fn deferred(
    source: &Source,
    name: String,
    info: &TensorInfo,
    data_start: u64,
) -> Result<PackTensor, CheckpointError> {
    let Some((_, dtype)) = DTYPES.into_iter().find(|(stored, _)| *stored == info.dtype) else {
        let found = info.dtype;
        let message = format!(
            "tensor {name}: expected f32, f16, bf16 or integers, found {found:?}; if the weights are \
             quantised, take the model that was not"
        );
        return Err(CheckpointError::unusable(source.path(), message));
    };
    let (start, _) = info.data_offsets;
    let shape = Shape::from(info.shape.clone());
    let (source, declared) = (source.clone(), shape.clone());
    Ok(bridge::deferred(name, dtype, shape, None, move || {
        let start = data_start + start as u64;
        let count = declared.num_elements();
        let bytes = match dtype.size() {
            2 => read_values::<u16>(&source, start, count),
            4 => read_values::<u32>(&source, start, count),
            8 => read_values::<u64>(&source, start, count),
            _ => read_values::<u8>(&source, start, count),
        };
        let bytes = bytes
            .map_err(|error| PackError::IoError(format!("{}: {error}", source.path().display())))?;
        TensorData::try_from_bytes(bytes, declared.clone(), dtype)
            .map_err(|error| PackError::ValidationError(error.to_string()))
    }))
}

/// The bytes of `count` values, aligned as those, so that a tensor takes them as they are.
fn read_values<T: Pod + Default + Send + Sync>(
    source: &Source,
    start: u64,
    count: usize,
) -> io::Result<Bytes> {
    let mut values = vec![T::default(); count];
    source.read_into(start, bytemuck::cast_slice_mut(&mut values))?;
    Ok(Bytes::from_elems(values))
}
