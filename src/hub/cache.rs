//! Where the hub's tools keep a model: its files in `models--OWNER--NAME/snapshots/COMMIT`, and in
//! `refs/REVISION` the commit that a revision means.

use std::fs;
use std::path::{Path, PathBuf};

use super::HubError;
use super::listing::{is_commit, is_pytorch, is_safetensors};

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

    /// The folder of `revision`, if it holds a configuration and weights.
    pub fn checkpoint(&self, revision: &str) -> Option<PathBuf> {
        let commit = fs::read_to_string(self.0.join("refs").join(revision)).ok()?;
        let folder = is_commit(commit.trim()).then(|| self.snapshot(commit.trim()))?;
        let mut names = fs::read_dir(&folder).ok()?.flatten().map(|entry| entry.file_name());
        let is_weights = |name: &str| is_safetensors(name) || is_pytorch(name);
        let has_weights = names.any(|name| name.to_str().is_some_and(is_weights));
        (has_weights && folder.join("config.json").is_file()).then_some(folder)
    }
}
