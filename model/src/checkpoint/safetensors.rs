//! One safetensors file: the header is checked at once, tensors are read on demand.
//!
//! Reading instead of mapping keeps the peak memory of a load at the model plus one tensor, and a
//! file that shrinks meanwhile is an error and not a signal.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use burn::tensor::{Bytes, DType, Shape, TensorData};
use burn_pack::{Error as PackError, Tensor as PackTensor};
use burn_store::bridge;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::error::CheckpointError;

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
    let tensors = open(path)?.into_iter().map(read).collect::<Result<_, PackError>>();
    tensors.map_err(|error| CheckpointError::malformed(path, error))
}

/// What the file says of itself: `__metadata__`.
///
/// # Errors
/// As [`read_safetensors`].
pub fn read_metadata(path: &Path) -> Result<BTreeMap<String, String>, CheckpointError> {
    let (header, _) = read_header(path)?;
    Ok(header
        .metadata()
        .iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect())
}

/// The tensors of a file, unread.
pub(super) fn open(path: &Path) -> Result<Vec<PackTensor>, CheckpointError> {
    let (header, start) = read_header(path)?;
    header.tensors().into_iter().map(|(name, info)| deferred(path, name, info, start)).collect()
}

/// The checked header of a file, and where its data begins.
fn read_header(path: &Path) -> Result<(Metadata, u64), CheckpointError> {
    let io = || CheckpointError::io(path);
    let wrong = |message: String| CheckpointError::malformed(path, message);
    let mut file = File::open(path).map_err(io())?;
    let file_length = file.metadata().map_err(io())?.len();
    let mut length = [0u8; 8];
    let Some(after_length) = file_length.checked_sub(length.len() as u64) else {
        return Err(wrong(format!(
            "expected a safetensors header, found a file of {file_length} bytes"
        )));
    };
    file.read_exact(&mut length).map_err(io())?;
    let header_length = u64::from_le_bytes(length);
    if header_length > MAX_HEADER.min(after_length) {
        return Err(wrong(format!(
            "the header claims {header_length} bytes, but the file has {after_length} after the \
             length and at most {MAX_HEADER} are accepted"
        )));
    }
    let mut header = Vec::new();
    file.take(header_length).read_to_end(&mut header).map_err(io())?;
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
    path: &Path,
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
        return Err(CheckpointError::unusable(path, message));
    };
    let (start, end) = info.data_offsets;
    let shape = Shape::from(info.shape.clone());
    let (path, declared) = (path.to_path_buf(), shape.clone());
    Ok(bridge::deferred(name, dtype, shape, None, move || {
        let bytes = read_range(&path, data_start + start as u64, end - start)
            .map_err(|error| PackError::IoError(format!("{}: {error}", path.display())))?;
        TensorData::try_from_bytes(Bytes::from_bytes_vec(bytes), declared.clone(), dtype)
            .map_err(|error| PackError::ValidationError(error.to_string()))
    }))
}

fn read_range(path: &Path, start: u64, length: usize) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = vec![0u8; length];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}
