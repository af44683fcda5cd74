//! Files that appear whole or not at all: written beside their place, made durable, then renamed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use ::safetensors::tensor::{Metadata, TensorInfo};
use burn::tensor::TensorData;
use burn_pack::Tensor as PackTensor;
use burn_store::bridge;

use super::error::CheckpointError;
use super::safetensors::DTYPES;

/// Writes arrays by name as a safetensors file.
///
/// # Errors
/// [`CheckpointError::Io`]; there is no file then, or the one that was there before.
pub fn write_safetensors(
    arrays: Vec<(String, TensorData)>,
    path: &Path,
) -> Result<(), CheckpointError> {
    let tensors = arrays.into_iter().map(|(name, data)| bridge::from_data(data, name, None));
    write_tensors(tensors.collect(), path)
}

/// Writes a safetensors file, laid out as the format's own library does it. Each tensor's data is
/// read only when it is written.
pub(super) fn write_tensors(tensors: Vec<PackTensor>, path: &Path) -> Result<(), CheckpointError> {
    write_whole(path, |file| {
        let mut tensors = tensors
            .into_iter()
            .map(|tensor| {
                let dtype = DTYPES.into_iter().find(|(_, dtype)| *dtype == tensor.dtype);
                let found = tensor.dtype;
                let (dtype, _) = dtype
                    .ok_or_else(|| unwritable(&tensor.name, format!("no name for {found:?}")))?;
                Ok((dtype, tensor))
            })
            .collect::<io::Result<Vec<_>>>()?;
        tensors.sort_by(|(a, left), (b, right)| b.cmp(a).then_with(|| left.name.cmp(&right.name)));
        let mut end = 0;
        let infos = tensors.iter().map(|(dtype, tensor)| {
            let start = end;
            end += tensor.byte_len();
            let (shape, data_offsets) = (tensor.shape.to_vec(), (start, end));
            (tensor.name.clone(), TensorInfo { dtype: *dtype, shape, data_offsets })
        });
        let format = HashMap::from([("format".to_string(), "pt".to_string())]);
        let header = Metadata::new(Some(format), infos.collect()).map_err(io::Error::other)?;
        let mut header = serde_json::to_vec(&header)?;
        header.resize(header.len().next_multiple_of(8), b' ');
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        for (_, tensor) in tensors {
            let (name, length) = (tensor.name.clone(), tensor.byte_len());
            let bytes = tensor.into_bytes().map_err(|error| unwritable(&name, error))?;
            if bytes.len() != length {
                let found = bytes.len();
                return Err(unwritable(&name, format!("expected {length} bytes, found {found}")));
            }
            file.write_all(&bytes)?;
        }
        Ok(())
    })
}

fn unwritable(name: &str, problem: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("tensor {name}: {problem}"))
}

/// Writes indented JSON.
///
/// # Errors
/// As [`write_safetensors`].
pub fn write_json(value: &serde_json::Value, path: &Path) -> Result<(), CheckpointError> {
    write_whole(path, |file| writeln!(file, "{value:#}"))
}

fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> Result<(), CheckpointError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let write_beside = || {
        // The temporary file is removed on every error, and has the rights of an ordinary one.
        let part = tempfile::Builder::new()
            .suffix(".part")
            .make_in(folder.unwrap_or(Path::new(".")), |path| File::create_new(path))?;
        let mut buffer = BufWriter::with_capacity(1 << 20, part.as_file());
        write(&mut buffer)?;
        buffer.flush()?;
        drop(buffer);
        part.as_file().sync_all()?;
        part.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write_beside().map_err(CheckpointError::io(path))
}

#[cfg(test)]
mod tests {
    use ::safetensors::tensor::TensorView;
    use ::safetensors::{Dtype, serialize};
    use burn::tensor::DType;

    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_formats_library() {
        let arrays = vec![
            ("b".to_string(), TensorData::from([[1.0f32, 2.0], [3.0, 4.0]])),
            ("count".to_string(), TensorData::new(vec![7i64], [0usize; 0])),
            ("a".to_string(), TensorData::from([0.5f32])),
            ("half".to_string(), TensorData::from([1.0f32, 2.0, 3.0]).convert_dtype(DType::BF16)),
            ("none".to_string(), TensorData::new(Vec::<u8>::new(), [0, 3])),
        ];
        let dtypes = [Dtype::F32, Dtype::I64, Dtype::F32, Dtype::BF16, Dtype::U8];
        let views = arrays.iter().zip(dtypes).map(|((name, data), dtype)| {
            (name, TensorView::new(dtype, data.shape().to_vec(), data.as_bytes()).unwrap())
        });
        let format = HashMap::from([("format".to_string(), "pt".to_string())]);
        let expected = serialize(views, Some(format)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        write_safetensors(arrays.clone(), &path).unwrap();
        assert!(std::fs::read(&path).unwrap() == expected);
    }

    /// The old file stays, and nothing lies beside it.
    #[test]
    fn data_that_cannot_be_read_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        std::fs::write(&path, "old").unwrap();
        let fails = || Err(burn_pack::Error::ValidationError("the device is gone".into()));
        let tensor = bridge::deferred("w".into(), DType::F32, [2].into(), None, fails);
        let error = write_tensors(vec![tensor], &path).unwrap_err().to_string();
        assert!(error.contains("tensor w") && error.contains("the device is gone"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
