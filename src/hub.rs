//! Checkpoints from the Hugging Face hub, in the cache that its other tools share.
//!
//! A broken transfer is resumed, within one call and by the next one: what arrived is kept beside
//! its target as `NAME.COMMIT.part`. A file gets its own name only when it is whole, has the
//! announced size and, where the hub tells a SHA-256, that digest.
//!
//! The crate `hf-hub` 1.0 is not used: it brings 284 packages (an asynchronous runtime, a second HTTP
//! client, a TLS library that needs CMake), nearly as many as the rest of this program.

mod cache;
mod certificates;
mod error;
mod listing;
mod proxy;
mod request;
mod settings;
mod transfer;

use std::fs;
use std::path::{Path, PathBuf};

use mllmseg_data::prompt::Template;
use mllmseg_model::MllmsegConfig;
use serde_json::Value;

pub use error::HubError;
pub use listing::is_repo_name;
pub use proxy::Proxies;
pub use settings::Hub;
pub use transfer::{Event, Progress};

use crate::machine::free_disk;
use cache::CachedRepo;
use request::Client;

impl Hub {
    /// The folder of the checkpoint `repo` (`OWNER/NAME`) at `revision` (a branch, tag or commit;
    /// `main` when absent). What the cache has is used without a connection; else it is downloaded.
    ///
    /// # Errors
    /// See [`Hub::download`].
    pub fn checkpoint(
        &self,
        repo: &str,
        revision: Option<&str>,
        progress: Progress,
    ) -> Result<PathBuf, HubError> {
        match self.cached(repo, revision)? {
            Some(folder) => Ok(folder),
            None => self.download(repo, revision, None, progress),
        }
    }

    /// The folder of a checkpoint in the cache, if it is there.
    ///
    /// # Errors
    /// For names that no model or revision can have.
    pub fn cached(&self, repo: &str, revision: Option<&str>) -> Result<Option<PathBuf>, HubError> {
        let revision = revision.unwrap_or("main");
        listing::check_names(repo, revision)?;
        Ok(CachedRepo::new(&self.cache, repo).checkpoint(revision))
    }

    /// Whether the settings can be right: address, token and root certificates. Nothing is asked of
    /// the hub.
    ///
    /// # Errors
    /// For the first that cannot.
    pub fn check(&self) -> Result<(), HubError> {
        Client::new(self, "").map(drop)
    }

    /// Downloads what a checkpoint needs of `repo`: the configuration, the tokenizer's files, and
    /// the weights, as safetensors where there are any and else as PyTorch files. Files that are
    /// there already are not fetched again.
    ///
    /// The files go to `out`, or without it to the cache: `models--OWNER--NAME/snapshots/COMMIT`.
    /// Returns that folder.
    ///
    /// # Errors
    /// When a setting is wrong, the hub cannot be reached or refuses, the repository does not hold a
    /// checkpoint or one that cannot run here, a file differs from what was announced, or the disk
    /// does not take it. Files that came whole stay.
    pub fn download(
        &self,
        repo: &str,
        revision: Option<&str>,
        out: Option<&Path>,
        progress: Progress,
    ) -> Result<PathBuf, HubError> {
        let revision = revision.unwrap_or("main");
        listing::check_names(repo, revision)?;
        if self.offline {
            let there = self.cached(repo, Some(revision))?.filter(|_| out.is_none());
            let (repo, cache) = (repo.to_owned(), self.cache.clone());
            return there.ok_or(HubError::Offline { repo, cache });
        }
        let client = Client::new(self, repo)?;
        let listing = listing::fetch(&client, revision)?;
        let files = listing::checkpoint_files(repo, &listing)?;

        let (cached, commit) = (CachedRepo::new(&self.cache, repo), &listing.sha);
        let folder = out.map_or_else(|| cached.snapshot(commit), Path::to_owned);
        fs::create_dir_all(&folder).map_err(HubError::io(&folder))?;
        for (number, file) in files.iter().enumerate() {
            transfer::fetch(&client, commit, file, &folder, out.is_none(), progress)?;
            if number == 0 {
                check_config(repo, &folder)?; // config.json is the first
                let missing = |file| transfer::missing_bytes(commit, file, &folder);
                let missing = files.iter().map(|file| missing(file)).sum();
                check_room(&folder, missing)?;
                progress(Event::Begins(missing));
            }
        }
        // Last, so that the revision never means a snapshot that is not whole.
        if out.is_none() {
            cached.set_commit(revision, commit)?;
        }
        Ok(folder)
    }
}

/// Refuses a model that this program cannot run, by its configuration.
fn check_config(repo: &str, folder: &Path) -> Result<(), HubError> {
    let reason = match MllmsegConfig::from_dir(folder) {
        Ok(config) => match Template::from_name(&config.template) {
            Ok(_) => return Ok(()),
            Err(error) => error.to_string(),
        },
        Err(error) => error.message,
    };
    let file = fs::read(folder.join("config.json")).unwrap_or_default();
    let file: Value = serde_json::from_slice(&file).unwrap_or_default();
    let kind = [&file["architectures"][0], &file["model_type"]].into_iter().find_map(Value::as_str);
    let kind = kind.unwrap_or("of no known architecture").to_owned();
    Err(HubError::CannotRun { repo: repo.to_owned(), kind, reason })
}

/// Refuses to begin what the disk cannot take.
fn check_room(folder: &Path, missing: Option<u64>) -> Result<(), HubError> {
    match (missing, free_disk(folder)) {
        (Some(missing), Some(free)) if missing > free => {
            Err(HubError::NoRoom { folder: folder.to_owned(), missing, free })
        }
        _ => Ok(()),
    }
}
