//! Which files of a folder hold the weights: the order is that of transformers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::error::CheckpointError;
use super::read::read_text;

/// The formats in the order of the search: the one file, and the index of shards.
const FORMATS: [(&str, &str); 2] = [
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
];

/// The weights of a folder.
pub(super) enum Weights {
    /// One file.
    Whole(PathBuf),
    /// Shards, named by an index.
    Sharded(Index),
}

/// The weights that count, and a line about each kind of file that does not.
///
/// # Errors
/// No weights, and two sets of one format, of which either may be the stale one.
pub(super) fn choose(dir: &Path) -> Result<(Weights, Vec<String>), CheckpointError> {
    let mut found = FORMATS
        .into_iter()
        .filter(|(file, index)| is_there(&dir.join(file)) || is_there(&dir.join(index)));
    let Some((file, index_name)) = found.next() else {
        return Err(no_weights(dir));
    };
    let mut notes = Vec::new();
    let (path, index_path) = (dir.join(file), dir.join(index_name));
    let index = is_there(&index_path).then(|| Index::open(&index_path)).transpose()?;
    let weights = match index {
        None => Weights::Whole(path),
        // Some programs write an index of the one file.
        Some(index) if !is_there(&path) || index.shards().contains(file) => Weights::Sharded(index),
        Some(index) if index.shards().iter().any(|shard| is_there(&dir.join(shard))) => {
            return Err(CheckpointError::unusable(
                dir,
                format!(
                    "{file} and the shards of {index_name} are both there, and either may be \
                     stale: move those away that are not meant"
                ),
            ));
        }
        Some(_) => {
            notes.push(format!("{file} is read; {index_name} is not: its shards are not there"));
            Weights::Whole(path)
        }
    };
    if let Some((other, _)) = found.next() {
        notes.push(format!("{file} is read, as transformers does; {other} is not"));
    }
    notes.extend(left_shards(dir, file, &weights));
    Ok((weights, notes))
}

/// Whether there is such a file, or a link to one that is gone.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// A line about shards that no index names.
fn left_shards(dir: &Path, file: &str, weights: &Weights) -> Option<String> {
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
    let names = file_names(dir);
    let left: Vec<_> = names.iter().filter(is_shard).collect();
    let first = left.first()?;
    Some(format!("{first} is not read ({} such files): no index names it", left.len()))
}

fn no_weights(dir: &Path) -> CheckpointError {
    const WEIGHTS: [&str; 7] = ["safetensors", "bin", "pt", "pth", "ckpt", "gguf", "h5"];
    let names = file_names(dir);
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

/// The names in a folder, in order; none if it cannot be read.
fn file_names(dir: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// The index of a sharded checkpoint.
pub(super) struct Index {
    /// Where it is.
    pub path: PathBuf,
    /// The file of each tensor.
    pub weight_map: BTreeMap<String, String>,
}

impl Index {
    fn open(path: &Path) -> Result<Self, CheckpointError> {
        const MAX_INDEX: u64 = 64 << 20;
        #[derive(Deserialize)]
        struct Content {
            weight_map: BTreeMap<String, String>,
        }
        let text = read_text(path, MAX_INDEX).map_err(CheckpointError::io(path))?;
        let content = serde_json::from_str::<Content>(&text);
        let content = content.map_err(|error| CheckpointError::malformed(path, error))?;
        match content.weight_map.values().find(|shard| !is_plain_name(shard)) {
            None => Ok(Self { path: path.to_path_buf(), weight_map: content.weight_map }),
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
