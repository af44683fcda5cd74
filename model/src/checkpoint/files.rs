//! The layouts of weights in a folder: one file or shards with an index, safetensors or PyTorch.

use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path, PathBuf};

use burn_pack::Tensor as PackTensor;
use burn_store::{ModuleStore, PytorchStore};
use serde::Deserialize;

use super::{CheckpointError, safetensors};

/// Every tensor of a checkpoint, by the name it has on disk, unread.
#[derive(Debug)]
pub struct WeightFiles {
    dir: PathBuf,
    tensors: BTreeMap<String, PackTensor>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

#[derive(Clone, Copy)]
enum Format {
    Safetensors,
    Pytorch,
}

/// The layouts in the order in which they are looked for.
const LAYOUTS: [(&str, Format, bool); 4] = [
    ("model.safetensors.index.json", Format::Safetensors, true),
    ("model.safetensors", Format::Safetensors, false),
    ("pytorch_model.bin.index.json", Format::Pytorch, true),
    ("pytorch_model.bin", Format::Pytorch, false),
];

impl WeightFiles {
    /// Finds the layout of a folder and reads names, shapes and dtypes; no weights yet.
    pub fn open(dir: &Path) -> Result<Self, CheckpointError> {
        let found = LAYOUTS.into_iter().find(|(name, _, _)| dir.join(name).exists());
        let Some((name, format, is_index)) = found else {
            return Err(CheckpointError::NoWeights { dir: dir.to_path_buf() });
        };
        let path = dir.join(name);
        let tensors = if is_index { open_shards(&path, format)? } else { open_one(&path, format)? };
        Ok(Self { dir: dir.to_path_buf(), tensors })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Names and shapes, sorted by name.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice()))
    }

    /// The shape of one tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|tensor| tensor.shape.as_slice())
    }

    /// Whether there is a mask decoder; base models have none.
    pub fn has_mask_decoder(&self) -> bool {
        self.tensors.keys().any(|name| name.starts_with("res_decoder."))
    }

    /// The rank of separate adapters, read off the first `lora_A`, `[r, in]`; none if they are
    /// merged or there never were any.
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

fn open_one(path: &Path, format: Format) -> Result<BTreeMap<String, PackTensor>, CheckpointError> {
    let tensors = match format {
        Format::Safetensors => safetensors::open(path)?,
        Format::Pytorch => open_pytorch(path)?,
    };
    Ok(tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect())
}

fn open_pytorch(path: &Path) -> Result<Vec<PackTensor>, CheckpointError> {
    // The store renumbers `mlp1.3` to `mlp1.2` unless it is told to keep the names.
    let mut store = PytorchStore::from_file(path).map_indices_contiguous(false);
    let tensors = store
        .get_all_tensors()
        .map_err(|error| CheckpointError::malformed(path, error.to_string()))?;
    Ok(tensors.values().cloned().collect())
}

fn open_shards(
    index_path: &Path,
    format: Format,
) -> Result<BTreeMap<String, PackTensor>, CheckpointError> {
    const MAX_INDEX: u64 = 64 << 20;
    let length = std::fs::metadata(index_path).map_err(CheckpointError::io(index_path))?.len();
    if length > MAX_INDEX {
        let message = format!("expected an index of at most {MAX_INDEX} bytes, found {length}");
        return Err(CheckpointError::malformed(index_path, message));
    }
    let text = std::fs::read(index_path).map_err(CheckpointError::io(index_path))?;
    let index: Index = serde_json::from_slice(&text)
        .map_err(|error| CheckpointError::malformed(index_path, error.to_string()))?;

    let mut names_of_shard: HashMap<&str, Vec<&str>> = HashMap::new();
    for (name, shard) in &index.weight_map {
        names_of_shard.entry(shard).or_default().push(name);
    }
    let mut shards: Vec<_> = names_of_shard.into_iter().collect();
    shards.sort();
    let mut tensors = BTreeMap::new();
    for (shard, names) in shards {
        let path = shard_path(index_path, shard)?;
        let opened = open_one(&path, format)?;
        if let Some(missing) = names.into_iter().find(|name| !opened.contains_key(*name)) {
            return Err(CheckpointError::NotInShard {
                index: index_path.to_path_buf(),
                tensor: missing.to_string(),
                shard: shard.to_string(),
            });
        }
        for (name, tensor) in opened {
            if tensors.contains_key(&name) {
                return Err(CheckpointError::Duplicate { path, tensor: name });
            }
            tensors.insert(name, tensor);
        }
    }
    Ok(tensors)
}

/// A shard lies beside its index: a name that leads elsewhere is refused.
fn shard_path(index_path: &Path, shard: &str) -> Result<PathBuf, CheckpointError> {
    let mut components = Path::new(shard).components();
    let is_plain_name =
        matches!(components.next(), Some(Component::Normal(_))) && components.next().is_none();
    if !is_plain_name {
        let message = format!("expected the name of a file beside the index, found {shard:?}");
        return Err(CheckpointError::malformed(index_path, message));
    }
    let path = index_path.with_file_name(shard);
    if !path.is_file() {
        return Err(CheckpointError::MissingShard {
            index: index_path.to_path_buf(),
            shard: shard.to_string(),
        });
    }
    Ok(path)
}
