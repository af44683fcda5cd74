//! The layouts of weights in a folder: one file or shards with an index, safetensors or PyTorch.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use burn_pack::Tensor as PackTensor;
use burn_store::{ModuleStore, PytorchStore};
use serde::Deserialize;

use super::error::CheckpointError;
use super::safetensors;
use crate::checkpoint::read::read_text;

/// The layouts in the order of the search.
const LAYOUTS: [&str; 4] = [
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
];

/// Every tensor of a checkpoint, by the name it has on disk, unread.
#[derive(Debug)]
pub struct WeightFiles {
    dir: PathBuf,
    tensors: BTreeMap<String, PackTensor>,
}

impl WeightFiles {
    /// Finds the layout of a folder and reads names, shapes and dtypes; no weights yet.
    pub fn open(dir: &Path) -> Result<Self, CheckpointError> {
        let dir = dir.to_path_buf();
        let path = LAYOUTS.map(|name| dir.join(name)).into_iter().find(|path| path.exists());
        let Some(path) = path else {
            let message = format!("no weights found; expected one of {}", LAYOUTS.join(", "));
            return Err(CheckpointError::malformed(dir, message));
        };
        let tensors = match path.extension().is_some_and(|ending| ending == "json") {
            true => open_shards(&path)?,
            false => {
                let tensors = open_one(&path)?.into_iter();
                tensors.map(|tensor| (tensor.name.clone(), tensor)).collect()
            }
        };
        Ok(Self { dir, tensors })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Names and shapes, sorted by name.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice()))
    }

    /// Whether there is a mask decoder; base models have none.
    pub fn has_mask_decoder(&self) -> bool {
        self.tensors.keys().any(|name| name.starts_with("res_decoder."))
    }

    /// The rank of separate adapters, from the shape of the first `lora_A`, `[r, in]`; `None` if they
    /// are merged or there never were any.
    pub fn lora_rank(&self) -> Option<usize> {
        let (_, tensor) = self.tensors.iter().find(|(name, _)| name.contains(".lora_A."))?;
        tensor.shape.first().copied().filter(|&rank| rank > 0)
    }

    /// Bytes that all tensors take on disk.
    pub fn byte_len(&self) -> usize {
        self.tensors.values().map(PackTensor::byte_len).sum()
    }

    /// The tensors, unread.
    pub fn into_tensors(self) -> BTreeMap<String, PackTensor> {
        self.tensors
    }
}

/// One file, in the format that its name ends in.
fn open_one(path: &Path) -> Result<Vec<PackTensor>, CheckpointError> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("safetensors") => safetensors::open(path),
        Some("bin") => {
            // The store renumbers `mlp1.3` to `mlp1.2` unless it is told to keep the names.
            let mut store = PytorchStore::from_file(path).map_indices_contiguous(false);
            let tensors = store.get_all_tensors();
            let tensors = tensors.map_err(|error| CheckpointError::malformed(path, error))?;
            Ok(tensors.values().cloned().collect())
        }
        _ => Err(CheckpointError::malformed(path, "expected a name in .safetensors or .bin")),
    }
}

fn open_shards(index_path: &Path) -> Result<BTreeMap<String, PackTensor>, CheckpointError> {
    const MAX_INDEX: u64 = 64 << 20;
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let wrong = |message: String| CheckpointError::malformed(index_path, message);
    let text = read_text(index_path, MAX_INDEX).map_err(CheckpointError::io(index_path))?;
    let index: Index = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;

    let mut found: BTreeMap<String, (&String, PackTensor)> = BTreeMap::new();
    for shard in index.weight_map.values().collect::<BTreeSet<_>>() {
        let path = index_path.with_file_name(shard);
        if !is_plain_name(shard) {
            return Err(wrong(format!(
                "expected the name of a file beside the index, found {shard:?}"
            )));
        }
        if !path.is_file() {
            return Err(wrong(format!("names the shard {shard}, which is not in the folder")));
        }
        for tensor in open_one(&path)? {
            let name = tensor.name.clone();
            if let Some((other, tensor)) = found.insert(name, (shard, tensor)) {
                let message = format!("tensor {} is already in {other}", tensor.name);
                return Err(CheckpointError::malformed(path, message));
            }
        }
    }
    for (name, shard) in &index.weight_map {
        if found.get(name).is_none_or(|(place, _)| *place != shard) {
            return Err(wrong(format!("says that {name} is in {shard}, but it is not")));
        }
    }
    Ok(found.into_iter().map(|(name, (_, tensor))| (name, tensor)).collect())
}

/// A shard lies beside its index: a name that leads elsewhere is refused.
fn is_plain_name(shard: &str) -> bool {
    let mut components = Path::new(shard).components();
    matches!(components.next(), Some(Component::Normal(_))) && components.next().is_none()
}
