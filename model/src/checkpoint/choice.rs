//! Which files of a folder hold the weights: the order is that of transformers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use serde::Deserialize;

use super::error::CheckpointError;
use super::folder::{Folder, Source};

/// The formats in the order of the search: the one file, and the index of shards.
const FORMATS: [(&str, &str); 2] = [
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
];

/// The weights of a folder.
pub(super) enum Weights {
    /// One file.
    Whole(Source),
    /// Shards, named by an index.
    Sharded(Index),
}

/// The weights that count, and a line about each kind of file that does not.
///
/// # Errors
/// No weights, and two sets of one format, of which either may be the stale one.
pub(super) fn choose(folder: &Folder) -> Result<(Weights, Vec<String>), CheckpointError> {
    let names = folder.names();
    let is_there = |name: &str| names.contains(name);
    let mut found = FORMATS.into_iter().filter(|(file, index)| is_there(file) || is_there(index));
    let Some((file, index_name)) = found.next() else {
        return Err(no_weights(folder.path(), &names));
    };
    let mut notes = Vec::new();
    let index = is_there(index_name).then(|| Index::open(folder.file(index_name))).transpose()?;
    let weights = match index {
        None => Weights::Whole(folder.file(file)),
        // Some programs write an index of the one file.
        Some(index) if !is_there(file) || index.shards().contains(file) => Weights::Sharded(index),
        Some(index) if index.shards().iter().any(|shard| is_there(shard)) => {
            return Err(CheckpointError::unusable(
                folder.path(),
                format!(
                    "{file} and the shards of {index_name} are both there, and either may be \
                     stale: move those away that are not meant"
                ),
            ));
        }
        Some(_) => {
            notes.push(format!("{file} is read; {index_name} is not: its shards are not there"));
            Weights::Whole(folder.file(file))
        }
    };
    if let Some((other, _)) = found.next() {
        notes.push(format!("{file} is read, as transformers does; {other} is not"));
    }
    notes.extend(left_shards(&names, file, &weights));
    Ok((weights, notes))
}

/// A line about shards that no index names.
fn left_shards(names: &BTreeSet<String>, file: &str, weights: &Weights) -> Option<String> {
    let named = match weights {
        Weights::Whole(_) => BTreeSet::new(),
        Weights::Sharded(index) => index.shards(),
    };
    let (stem, ending) = file.split_once('.')?;
    let is_shard = |name: &&String| {
        name.starts_with(&format!("{stem}-"))
            && name.ends_with(&format!(".{ending}"))
            && !named.contains(name.as_str())
    };
    let left: Vec<_> = names.iter().filter(is_shard).collect();
    let first = left.first()?;
    Some(format!("{first} is not read ({} such files): no index names it", left.len()))
}

fn no_weights(dir: &Path, names: &BTreeSet<String>) -> CheckpointError {
    const WEIGHTS: [&str; 7] = ["safetensors", "bin", "pt", "pth", "ckpt", "gguf", "h5"];
    let mut found = names.iter().filter(|name| {
        Path::new(name).extension().is_some_and(|end| WEIGHTS.iter().any(|other| end == *other))
    });
    let expected = "no weights found; expected model.safetensors or pytorch_model.bin, or shards \
                    with model.safetensors.index.json or pytorch_model.bin.index.json";
    let message = match found.next() {
        None => format!("{expected}: download the model again"),
        Some(name) if name.starts_with("adapter_model.") => {
            format!(
                "{expected}; {name} is an adapter alone: name its base by --checkpoint \
                     and this folder by --adapter"
            )
        }
        Some(name) if name.contains("-of-") => {
            format!("{expected}; found {name}, a shard without its index: download the index too")
        }
        Some(name) => format!("{expected}; found {name}: rename or convert it"),
    };
    CheckpointError::unusable(dir, message)
}

/// The index of a sharded checkpoint.
pub(super) struct Index {
    /// Where it is.
    pub file: Source,
    /// The file of each tensor.
    pub weight_map: BTreeMap<String, String>,
}

impl Index {
    fn open(file: Source) -> Result<Self, CheckpointError> {
        const MAX_INDEX: u64 = 64 << 20;
        #[derive(Deserialize)]
        struct Content {
            weight_map: BTreeMap<String, String>,
        }
        let path = file.path();
        let text = file.text(MAX_INDEX).map_err(CheckpointError::io(path))?;
        let content = serde_json::from_str::<Content>(&text);
        let content = content.map_err(|error| CheckpointError::malformed(path, error))?;
        match content.weight_map.values().find(|shard| !is_plain_name(shard)) {
            None => Ok(Self { file, weight_map: content.weight_map }),
            Some(shard) => Err(CheckpointError::malformed(
                path,
                format!("expected the name of a file beside the index, found {shard:?}"),
            )),
        }
    }

    /// The files, in order.
    pub fn shards(&self) -> BTreeSet<&str> {
        self.weight_map.values().map(String::as_str).collect()
    }
}

/// A shard lies beside its index: a name that leads elsewhere is refused.
fn is_plain_name(shard: &str) -> bool {
    let mut components = Path::new(shard).components();
    matches!(components.next(), Some(Component::Normal(_))) && components.next().is_none()
}
