//! Where the hub's tools keep a model: its files in `models--OWNER--NAME/snapshots/COMMIT`, and in
//! `refs/REVISION` the commit that a revision means.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::HubError;
use super::listing::{is_commit, is_pytorch, is_safetensors};

/// A longer index of shards is not read.
const MAX_INDEX_BYTES: u64 = 64 << 20;

/// The folder of one model.
pub struct CachedRepo(PathBuf);

impl CachedRepo {
    pub fn new(cache: &Path, repo: &str) -> Self {
        Self(cache.join(format!("models--{}", repo.replace('/', "--"))))
    }

    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.0.join("snapshots").join(commit)
    }

    /// Writes that `revision` means `commit`.
    pub fn set_commit(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        let path = self.0.join("refs").join(revision); // a revision may contain slashes
        let folder = path.parent().unwrap_or(&self.0);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, commit))
            .map_err(HubError::io(&path))
    }

    /// The folder of `revision`, if it holds a configuration and whole weights. (Other tools write
    /// what a revision means before its files have come.)
    pub fn checkpoint(&self, revision: &str) -> Option<PathBuf> {
        let commit = fs::read_to_string(self.0.join("refs").join(revision));
        let commit = commit.unwrap_or_else(|_| revision.to_owned());
        let folder = is_commit(commit.trim()).then(|| self.snapshot(commit.trim()))?;
        let entries = fs::read_dir(&folder).ok()?.flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let names: Vec<String> = names.collect();
        let has_weights = names.iter().any(|name| is_safetensors(name) || is_pytorch(name));
        let indices = names.iter().filter(|name| name.ends_with(".index.json"));
        let has_shards = indices.into_iter().all(|name| has_all_shards(&folder, name));
        let is_whole = has_weights && has_shards && folder.join("config.json").is_file();
        is_whole.then_some(folder)
    }
}

/// Whether every file that an index of shards names is there.
fn has_all_shards(folder: &Path, index: &str) -> bool {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let Ok(file) = File::open(folder.join(index)) else { return false };
    let index = serde_json::from_reader::<_, Index>(BufReader::new(file.take(MAX_INDEX_BYTES)));
    let Ok(index) = index else { return false };
    let shards: BTreeSet<_> = index.weight_map.into_values().collect();
    shards.iter().all(|shard| folder.join(shard).is_file())
}
