//! From a model to files in the published layout, so that the Python implementation loads them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::tensor::DType;
use burn_pack::Tensor as PackTensor;
use burn_store::ModuleSnapshot;
use serde_json::json;

use super::adapter::write_adapter;
use super::error::CheckpointError;
use super::layout::to_disk;
use super::names::NameTable;
use super::write::{write_json, write_tensors};
use crate::config::MllmsegConfig;
use crate::lora::{LoraConfig, LoraFactors};
use crate::mllmseg::Mllmseg;

/// How to save.
#[derive(Debug, Clone, Copy)]
pub struct SaveOptions {
    /// The dtype on disk of everything but adapters and mask decoder, which are f32.
    pub dtype: DType,
    /// Largest size of a file in bytes; more weights go to shards with an index.
    pub max_shard_bytes: u64,
}

impl Default for SaveOptions {
    fn default() -> Self {
        Self { dtype: DType::F32, max_shard_bytes: 5_000_000_000 }
    }
}

/// Writes the weights of a model and its `config.json`, and `adapter_config.json` where separate
/// adapters have another scale than the published 2.
///
/// `base_config` is the `config.json` that the model came from: keys that this implementation
/// does not know are kept. Each file appears whole or not at all, and the index comes last.
/// Tokenizer files are not written here.
///
/// # Errors
/// [`CheckpointError::Mismatch`] for a model that is not of this `config`, and
/// [`CheckpointError::Io`].
pub fn save_model(
    model: &Mllmseg,
    config: &MllmsegConfig,
    base_config: Option<&serde_json::Value>,
    dir: &Path,
    options: SaveOptions,
) -> Result<(), CheckpointError> {
    let misfit = |problem: String| CheckpointError::Mismatch {
        dir: dir.to_path_buf(),
        problems: vec![problem],
    };
    std::fs::create_dir_all(dir).map_err(CheckpointError::io(dir))?;
    let mut collected: HashMap<String, PackTensor> = model
        .collect(None, None, true)
        .into_iter()
        .map(|tensor| (tensor.name.clone(), tensor))
        .collect();
    let lora = lora(model);
    let table = NameTable::new(config, lora.is_some());
    let mut tensors = Vec::new();
    for (name, path) in table.pairs() {
        let tensor = collected.remove(path);
        let tensor = tensor.ok_or_else(|| misfit(format!("the model has no {path} for {name}")))?;
        tensors.push(to_disk(tensor, path, name, options.dtype));
    }
    if let Some(path) = collected.keys().next() {
        return Err(misfit(format!("no published name for {path}")));
    }
    write_shards(split(tensors, options.max_shard_bytes), dir)?;
    lora.map_or(Ok(()), |lora| write_adapter(lora, dir))?;
    write_json(&config.to_json(base_config), &dir.join("config.json"))
}

fn lora(model: &Mllmseg) -> Option<LoraConfig> {
    let layer = model.language_model.layers.first()?;
    layer.feed_forward.gate.lora.as_ref().map(LoraFactors::config)
}

/// Consecutive tensors in shards of at most `max_bytes`, or of one tensor.
pub(super) fn split(tensors: Vec<PackTensor>, max_bytes: u64) -> Vec<Vec<PackTensor>> {
    let (mut shards, mut shard, mut filled) = (Vec::new(), Vec::new(), 0);
    for tensor in tensors {
        let length = tensor.byte_len() as u64;
        if filled > 0 && filled + length > max_bytes {
            shards.push(std::mem::take(&mut shard));
            filled = 0;
        }
        filled += length;
        shard.push(tensor);
    }
    shards.push(shard);
    shards
}

/// Writes `model.safetensors`, or several shards and then their index. Tensors have the names,
/// shapes and dtypes of the files.
///
/// # Errors
/// [`CheckpointError::Io`].
pub fn write_shards(shards: Vec<Vec<PackTensor>>, dir: &Path) -> Result<(), CheckpointError> {
    let index_path = dir.join("model.safetensors.index.json");
    let count = shards.len();
    let (mut weight_map, mut total_size) = (BTreeMap::new(), 0);
    for (number, shard) in (1..).zip(shards) {
        let file = match count {
            1 => "model.safetensors".to_string(),
            _ => format!("model-{number:05}-of-{count:05}.safetensors"),
        };
        weight_map.extend(shard.iter().map(|tensor| (tensor.name.clone(), file.clone())));
        total_size += shard.iter().map(PackTensor::byte_len).sum::<usize>();
        write_tensors(shard, &dir.join(file))?;
    }
    if count > 1 {
        let metadata = json!({ "total_size": total_size });
        return write_json(&json!({ "metadata": metadata, "weight_map": weight_map }), &index_path);
    }
    // An index left from an earlier save would be read in place of the new file.
    match std::fs::remove_file(&index_path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(CheckpointError::io(index_path)(error))
        }
        _ => Ok(()),
    }
}
