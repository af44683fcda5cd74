//! From a model to files in the published layout, so that the Python implementation loads them.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use ::safetensors::{Dtype, View};
use burn::tensor::DType;
use burn_pack::Tensor as PackTensor;
use burn_store::{ModuleSnapshot, bridge};
use serde_json::json;

use super::CheckpointError;
use super::load::{is_always_f32, is_stored_transposed, transpose};
use super::names::NameTable;
use super::write::{write_json, write_safetensors};
use crate::config::MllmsegConfig;
use crate::mllmseg::Mllmseg;

/// How to save.
#[derive(Debug, Clone, Copy)]
pub struct SaveOptions {
    /// The dtype on disk of everything but adapters and mask decoder, which are f32.
    pub dtype: DType,
    /// Largest size of a file in bytes; more weights go to shards with an index.
    pub max_shard_bytes: usize,
}

impl Default for SaveOptions {
    fn default() -> Self {
        Self { dtype: DType::F32, max_shard_bytes: 5_000_000_000 }
    }
}

/// Writes the weights of a model and its `config.json`.
///
/// `base_config` is the `config.json` that the model came from: keys that this implementation
/// does not know are kept. Each file appears whole or not at all, and the index comes last.
/// Tokenizer files are not written here.
pub fn save_model(
    model: &Mllmseg,
    config: &MllmsegConfig,
    base_config: Option<&serde_json::Value>,
    dir: &Path,
    options: SaveOptions,
) -> Result<(), CheckpointError> {
    std::fs::create_dir_all(dir).map_err(CheckpointError::io(dir))?;
    let has_lora = has_lora(model);
    let mut collected: HashMap<String, PackTensor> = model
        .collect(None, None, true)
        .into_iter()
        .map(|tensor| (tensor.name.clone(), tensor))
        .collect();
    let table = NameTable::new(config, has_lora);
    let mut tensors = Vec::new();
    for (name, path) in table.pairs() {
        let tensor = collected.remove(path).ok_or_else(|| CheckpointError::Mismatch {
            dir: dir.to_path_buf(),
            problems: vec![format!("the model has no {path} for {name}")],
        })?;
        tensors.push(to_disk(tensor, name, path, options.dtype));
    }
    if let Some(path) = collected.keys().next() {
        let problems = vec![format!("no published name for {path}")];
        return Err(CheckpointError::Mismatch { dir: dir.to_path_buf(), problems });
    }
    write_shards(tensors, dir, options.max_shard_bytes)?;
    write_json(&config.to_json(base_config), &dir.join("config.json"))
}

fn has_lora(model: &Mllmseg) -> bool {
    model.language_model.layers.first().is_some_and(|layer| layer.feed_forward.gate.lora.is_some())
}

/// Name, layout and dtype as published files have them.
fn to_disk(tensor: PackTensor, name: &str, path: &str, dtype: DType) -> PackTensor {
    let is_float = tensor.dtype.is_float();
    let dtype = match (is_float, is_always_f32(path)) {
        (false, _) => DType::I64,
        (true, true) => DType::F32,
        (true, false) => dtype,
    };
    let mut shape = tensor.shape.to_vec();
    let transposed = is_stored_transposed(path, shape.len());
    if transposed {
        shape.reverse();
    }
    if path.ends_with("num_batches_tracked") {
        shape.clear(); // a scalar
    }
    let shape = burn::tensor::Shape::from(shape);
    let declared = shape.clone();
    bridge::map_data(tensor, name.to_string(), dtype, shape, move |data| {
        let data = data.convert_dtype(dtype);
        if transposed {
            return transpose(data);
        }
        let (bytes, _, dtype) = data.into_parts();
        burn::tensor::TensorData::from_bytes(bytes, declared.clone(), dtype)
    })
}

pub(super) fn write_shards(
    tensors: Vec<PackTensor>,
    dir: &Path,
    max_bytes: usize,
) -> Result<(), CheckpointError> {
    let total: usize = tensors.iter().map(PackTensor::byte_len).sum();
    let mut shards: Vec<Vec<PackTensor>> = vec![Vec::new()];
    let mut filled = 0;
    for tensor in tensors {
        let length = tensor.byte_len();
        if filled > 0 && filled + length > max_bytes {
            shards.push(Vec::new());
            filled = 0;
        }
        filled += length;
        shards.last_mut().into_iter().for_each(|shard| shard.push(tensor.clone()));
    }
    let count = shards.len();
    if count == 1 {
        let shard = shards.into_iter().next().unwrap_or_default();
        write_tensors(shard, &dir.join("model.safetensors"))?;
        // An index left from an earlier save would be read in place of the new file.
        return remove_if_there(&dir.join("model.safetensors.index.json"));
    }
    let mut weight_map = BTreeMap::new();
    for (number, shard) in shards.into_iter().enumerate() {
        let file = format!("model-{:05}-of-{count:05}.safetensors", number + 1);
        weight_map.extend(shard.iter().map(|tensor| (tensor.name.clone(), file.clone())));
        write_tensors(shard, &dir.join(&file))?;
    }
    let index = json!({ "metadata": { "total_size": total }, "weight_map": weight_map });
    write_json(&index, &dir.join("model.safetensors.index.json"))
}

fn remove_if_there(path: &Path) -> Result<(), CheckpointError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(CheckpointError::io(path)(error))
        }
        _ => Ok(()),
    }
}

/// A tensor that is fetched from its device when the writer comes to it.
struct LazyView {
    tensor: PackTensor,
    dtype: Dtype,
}

impl View for LazyView {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.tensor.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        // The trait has no way to fail: an empty tensor makes the length check below fail.
        Cow::Owned(self.tensor.to_bytes().map(|bytes| bytes.to_vec()).unwrap_or_default())
    }

    fn data_len(&self) -> usize {
        self.tensor.byte_len()
    }
}

fn write_tensors(tensors: Vec<PackTensor>, path: &Path) -> Result<(), CheckpointError> {
    let views = tensors.into_iter().map(|tensor| {
        let dtype = match tensor.dtype {
            DType::BF16 => Dtype::BF16,
            DType::F16 => Dtype::F16,
            DType::F64 => Dtype::F64,
            DType::I32 => Dtype::I32,
            DType::I64 => Dtype::I64,
            _ => Dtype::F32,
        };
        (tensor.name.clone(), LazyView { tensor, dtype })
    });
    write_safetensors(views.collect(), path)
}
