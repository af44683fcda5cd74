//! From a model to files in the layout of its base, so that the Python implementation loads them.

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
use super::native::from_published;
use super::write::{write_json, write_tensors};
use crate::config::{Layout, MllmsegConfig};
use crate::lora::{LoraConfig, LoraFactors};
use crate::mllmseg::Mllmseg;

/// How to save.
#[derive(Debug, Clone, Copy)]
pub struct SaveOptions {
    /// The dtype on disk of everything but adapters and mask decoder, which are f32.
    pub dtype: DType,
    /// Largest size of a file in bytes; more weights go to shards with an index.
    pub max_shard_bytes: u64,
    /// The layout; without one, that of the `config.json` that the model came from.
    pub layout: Option<Layout>,
}

impl Default for SaveOptions {
    fn default() -> Self {
        Self { dtype: DType::F32, max_shard_bytes: 5_000_000_000, layout: None }
    }
}

/// The weights that were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Tensors.
    pub tensors: usize,
    /// Bytes of them.
    pub bytes: usize,
    /// Whether there is one token table for two: `tie_word_embeddings` of the `config.json` beside them.
    pub is_tied: bool,
}

/// Writes the weights of a model and its `config.json`, and `adapter_config.json` where separate
/// adapters have another scale than the published 2.
///
/// `base_config` is the `config.json` that the model came from: keys that this implementation
/// does not know are kept. Each file appears whole or not at all, and the index comes last.
/// Tokenizer files are not written here.
///
/// # Errors
/// [`CheckpointError::Mismatch`] for a model that is not of this `config`,
/// [`CheckpointError::Unusable`] for one that the layout has no place for, and [`CheckpointError::Io`].
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
    let layout = options.layout.unwrap_or_else(|| base_config.map_or(Layout::InternVl, Layout::of));
    let config_path = dir.join("config.json");
    let file = layout.config_json(config.to_json(base_config));
    let file = file.map_err(|message| CheckpointError::unusable(&config_path, message))?;
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
        if matches!(tensor.dtype, DType::QFloat(_)) {
            return Err(misfit(format!("{name} is quantised: load the model without")));
        }
        tensors.push(to_disk(tensor, path, name, options.dtype));
    }
    if let Some(path) = collected.keys().next() {
        return Err(misfit(format!("no published name for {path}")));
    }
    write_in_layout(tensors, false, config, layout, dir, options.max_shard_bytes)?;
    lora.map_or(Ok(()), |lora| write_adapter(lora, dir))?;
    write_json(&file, &config_path)
}

fn lora(model: &Mllmseg) -> Option<LoraConfig> {
    let layer = model.language_model.layers.first()?;
    layer.feed_forward.gate.lora.as_ref().map(LoraFactors::config)
}

/// Writes published tensors in `layout`.
pub(super) fn write_in_layout(
    mut tensors: Vec<PackTensor>,
    is_tied: bool,
    config: &MllmsegConfig,
    layout: Layout,
    dir: &Path,
    max_shard_bytes: u64,
) -> Result<Written, CheckpointError> {
    if layout == Layout::Transformers {
        let native = from_published(tensors, &config.language);
        tensors = native.map_err(|message| CheckpointError::unusable(dir, message))?;
    }
    let bytes = tensors.iter().map(PackTensor::byte_len).sum();
    let written = Written { tensors: tensors.len(), bytes, is_tied };
    write_shards(split(tensors, max_shard_bytes), dir)?;
    Ok(written)
}

/// Consecutive tensors in shards of at most `max_bytes`, or of one tensor.
fn split(tensors: Vec<PackTensor>, max_bytes: u64) -> Vec<Vec<PackTensor>> {
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
