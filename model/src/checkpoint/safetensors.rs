//! One safetensors file: the header is checked at once, tensors are read when they are asked for.
//!
//! Reading instead of mapping keeps the peak memory of a load at the model plus one tensor, and a
//! file that shrinks meanwhile is an error and not a signal.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use burn::tensor::{Bytes, DType, Shape, TensorData};
use burn_pack::{Error as PackError, Tensor as PackTensor};
use burn_store::bridge;
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::CheckpointError;

/// Longest header that is accepted; a published 8B model's is under 200 KB.
const MAX_HEADER: u64 = 100 << 20;

/// The tensors of a file, by name, unread.
pub fn open(path: &Path) -> Result<Vec<PackTensor>, CheckpointError> {
    let mut file = File::open(path).map_err(CheckpointError::io(path))?;
    let file_length = file.metadata().map_err(CheckpointError::io(path))?.len();
    if file_length < 8 {
        let message = format!("expected a safetensors header, found a file of {file_length} bytes");
        return Err(CheckpointError::malformed(path, message));
    }
    let mut prefix = [0u8; 8];
    file.read_exact(&mut prefix).map_err(CheckpointError::io(path))?;
    let header_length = u64::from_le_bytes(prefix);
    if header_length > MAX_HEADER || header_length > file_length - 8 {
        let message = format!(
            "the header claims {header_length} bytes, but the file has {} after the length and at \
             most {MAX_HEADER} are accepted",
            file_length - 8
        );
        return Err(CheckpointError::malformed(path, message));
    }
    let mut header = Vec::new();
    file.take(header_length).read_to_end(&mut header).map_err(CheckpointError::io(path))?;
    // Checks that the ranges are without holes or overlaps and fit shapes and dtypes.
    let metadata: Metadata = serde_json::from_slice(&header)
        .map_err(|error| CheckpointError::malformed(path, format!("unusable header: {error}")))?;
    let data_start = 8 + header_length;
    let data_length = metadata.data_len() as u64;
    if file_length - data_start != data_length {
        let message = format!(
            "the header describes {data_length} bytes of tensors, the file holds {}",
            file_length - data_start
        );
        return Err(CheckpointError::malformed(path, message));
    }
    let mut tensors = Vec::new();
    for (name, info) in metadata.tensors() {
        let dtype = burn_dtype(info.dtype).ok_or_else(|| {
            let found = info.dtype;
            let message =
                format!("tensor {name}: expected f32, f16, bf16 or integers, found {found:?}");
            CheckpointError::malformed(path, message)
        })?;
        let start = data_start + info.data_offsets.0 as u64;
        let length = info.data_offsets.1 - info.data_offsets.0;
        tensors.push(deferred(path.to_path_buf(), name, dtype, info.shape.clone(), start, length));
    }
    Ok(tensors)
}

fn deferred(
    path: PathBuf,
    name: String,
    dtype: DType,
    shape: Vec<usize>,
    start: u64,
    length: usize,
) -> PackTensor {
    let shape = Shape::from(shape);
    let declared = shape.clone();
    bridge::deferred(name, dtype, shape, None, move || {
        let bytes = read_range(&path, start, length)
            .map_err(|error| PackError::IoError(format!("{}: {error}", path.display())))?;
        TensorData::try_from_bytes(Bytes::from_bytes_vec(bytes), declared.clone(), dtype)
            .map_err(|error| PackError::ValidationError(error.to_string()))
    })
}

fn read_range(path: &Path, start: u64, length: usize) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = vec![0u8; length];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn burn_dtype(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        _ => return None,
    })
}
