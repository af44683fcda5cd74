//! Checkpoints from the Hugging Face hub, in the cache that its other tools share.
//!
//! A broken transfer is resumed, within one call and by the next one: what arrived is kept beside
//! its target as `NAME.COMMIT.part`. A file gets its own name only when it is whole, has the
//! announced size and, where the hub tells a SHA-256, that digest.
//!
//! The crate `hf-hub` 1.0 is not used: it brings 284 packages (an asynchronous runtime, a second HTTP
//! client, a TLS library that needs CMake), nearly as many as the rest of this program.

mod cache;
mod error;
mod listing;
mod request;
mod transfer;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::HubError;

use cache::CachedRepo;
use request::Client;

/// Called with a file's path in the repository, how many bytes of it are on disk, and its size in
/// bytes. The second number falls when a transfer must start again.
pub type Progress<'a> = &'a mut dyn FnMut(&str, u64, u64);

/// A hub, the folder in which its models are kept, and how long to wait.
#[derive(Debug, Clone)]
pub struct Hub {
    /// Address of the hub, `http://` or `https://`.
    pub endpoint: String,
    /// Folder of the cache.
    pub cache: PathBuf,
    /// Gives access to private and gated models.
    pub token: Option<String>,
    /// The longest wait to resolve a name, to connect, and for the next piece of a file; the head of
    /// an answer may take twice as long.
    pub timeout: Duration,
    /// How many transfers of one file in a row may break without bringing a mebibyte.
    pub attempts: u32,
    /// Before the first repetition; doubled for each further one.
    pub pause: Duration,
}

impl Hub {
    /// The hub that the environment describes, by the variables of Hugging Face's own tools:
    /// `HF_ENDPOINT`, `HF_HOME` (else `~/.cache/huggingface`), `HF_HUB_CACHE` (else `HF_HOME/hub`),
    /// and `HF_TOKEN` (else the file `HF_HOME/token`).
    ///
    /// # Errors
    /// When there is no home folder.
    pub fn from_env() -> Result<Self, HubError> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let text = |name| set(name).map(|value| value.to_string_lossy().into_owned());
        let in_home = || Some(std::env::home_dir()?.join(".cache/huggingface"));
        let home = set("HF_HOME").map(PathBuf::from).or_else(in_home).ok_or_else(|| {
            HubError::Setting(
                "no home folder is known for the cache: set HF_HOME to a folder".into(),
            )
        })?;
        Ok(Self {
            endpoint: text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned()),
            cache: set("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from),
            token: text("HF_TOKEN").or_else(|| fs::read_to_string(home.join("token")).ok()),
            timeout: Duration::from_secs(30),
            attempts: 5,
            pause: Duration::from_secs(1),
        })
    }

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
        listing::check_names(repo, revision.unwrap_or("main"))?;
        match CachedRepo::new(&self.cache, repo).checkpoint(revision.unwrap_or("main")) {
            Some(folder) => Ok(folder),
            None => self.download(repo, revision, None, progress),
        }
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
    /// checkpoint, a file differs from what was announced, or the disk does not take it. Files that
    /// came whole stay.
    pub fn download(
        &self,
        repo: &str,
        revision: Option<&str>,
        out: Option<&Path>,
        progress: Progress,
    ) -> Result<PathBuf, HubError> {
        let revision = revision.unwrap_or("main");
        listing::check_names(repo, revision)?;
        let client = Client::new(self, repo)?;
        let listing = listing::fetch(&client, revision)?;
        let files = listing::checkpoint_files(repo, &listing)?;

        let (cached, commit) = (CachedRepo::new(&self.cache, repo), &listing.sha);
        let folder = out.map_or_else(|| cached.snapshot(commit), Path::to_owned);
        fs::create_dir_all(&folder).map_err(HubError::io(&folder))?;
        for file in files {
            transfer::fetch(&client, commit, file, &folder, out.is_none(), progress)?;
        }
        // Last, so that the revision never means a snapshot that is not whole.
        if out.is_none() {
            cached.set_commit(revision, commit)?;
        }
        Ok(folder)
    }
}
