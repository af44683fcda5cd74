//! Checkpoints from the Hugging Face hub, into the cache that its other tools share.
//!
//! A broken transfer is resumed, within one call and by the next one: what arrived stays beside
//! its target as `NAME.COMMIT.part`, and a file gets its own name only when it is whole, has the
//! announced size and, where the hub tells a SHA-256, that digest too.
//!
//! The cache's layout comes from the crate `hf-hub`. Its transfers do not serve here: they have no
//! timeout, believe any size, and append a whole file to a part when the server ignores `Range`.

mod error;
mod listing;
mod request;
mod transfer;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::{Cache, Repo, RepoType};
use ureq::Agent;

pub use error::HubError;

/// Where models are when `HF_ENDPOINT` does not say otherwise.
const DEFAULT_ENDPOINT: &str = "https://huggingface.co";
/// The revision when none is given, as on the hub.
const DEFAULT_REVISION: &str = "main";

/// Told how a download goes; `()` ignores it.
pub trait Progress {
    /// The transfer of `file` begins; `size` is in bytes.
    fn begin(&mut self, file: &str, size: u64);
    /// So many bytes of the file are on disk. Falls back when a transfer must start anew.
    fn position(&mut self, bytes: u64);
    /// The file is whole.
    fn finish(&mut self, file: &str);
}

impl Progress for () {
    fn begin(&mut self, _: &str, _: u64) {}
    fn position(&mut self, _: u64) {}
    fn finish(&mut self, _: &str) {}
}

/// How long the hub may keep us waiting.
#[derive(Debug, Clone)]
pub struct Limits {
    /// To resolve a name, and again to connect.
    pub connect: Duration,
    /// For the head of an answer.
    pub response: Duration,
    /// Between two pieces of a file.
    pub read: Duration,
    /// How many transfers of one file in a row may break without bringing a mebibyte.
    pub attempts: u32,
    /// Before the first repetition; doubled for each further one.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            response: Duration::from_secs(60),
            read: Duration::from_secs(30),
            attempts: 5,
            pause: Duration::from_secs(1),
        }
    }
}

/// A hub and the folder in which its models are kept.
#[derive(Debug)]
pub struct Hub {
    endpoint: String,
    cache: Cache,
    token: Option<String>,
    limits: Limits,
    agent: Agent,
}

/// Downloads the checkpoint `repo` (`OWNER/NAME`) at `revision` (a branch, tag or commit; `main`
/// when absent) with the settings of the environment; see [`Hub::from_env`].
///
/// Returns the folder with the files. Files that are there already are not fetched again.
///
/// # Errors
/// See [`Hub::download`].
pub fn download(
    repo: &str,
    revision: Option<&str>,
    progress: &mut dyn Progress,
) -> Result<PathBuf, HubError> {
    Hub::from_env()?.download(repo, revision, None, progress)
}

impl Hub {
    /// The hub that the environment describes, in the words of Hugging Face's own tools:
    /// `HF_ENDPOINT`, `HF_HOME` (else `~/.cache/huggingface`), `HF_HUB_CACHE` (else `HF_HOME/hub`),
    /// and `HF_TOKEN` (else the file `HF_HOME/token`).
    ///
    /// # Errors
    /// When the endpoint or the token cannot be used, or there is no home folder.
    pub fn from_env() -> Result<Self, HubError> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let home = match set("HF_HOME") {
            Some(home) => PathBuf::from(home),
            None => std::env::home_dir().ok_or(HubError::NoHome)?.join(".cache/huggingface"),
        };
        let cache = set("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from);
        let endpoint = match set("HF_ENDPOINT") {
            Some(endpoint) => endpoint.to_string_lossy().into_owned(),
            None => DEFAULT_ENDPOINT.to_owned(),
        };
        let token = match set("HF_TOKEN") {
            Some(token) => Some(token.to_string_lossy().into_owned()),
            None => Cache::new(home.join("hub")).token(),
        };
        Self::new(&endpoint, &cache, token.as_deref(), Limits::default())
    }

    /// The hub at `endpoint` (`http://` or `https://`), with `cache` for its models.
    ///
    /// # Errors
    /// When `endpoint` is not a web address or `token` cannot stand in a header.
    pub fn new(
        endpoint: &str,
        cache: &Path,
        token: Option<&str>,
        limits: Limits,
    ) -> Result<Self, HubError> {
        let secure = endpoint.starts_with("https://");
        let valid = endpoint.parse::<ureq::http::Uri>().is_ok_and(|uri| uri.host().is_some());
        if !valid || !(secure || endpoint.starts_with("http://")) {
            return Err(HubError::Endpoint(endpoint.to_owned()));
        }
        let token = token.map(str::trim).filter(|token| !token.is_empty());
        if token.is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(HubError::Token);
        }
        // Statuses and redirects are read here, where the file and the token's owner are known.
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(secure)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(limits.connect))
            .timeout_connect(Some(limits.connect))
            .timeout_recv_response(Some(limits.response))
            .timeout_per_read(Some(limits.read))
            .timeout_per_write(Some(limits.read))
            .user_agent(concat!("mllmseg/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache: Cache::new(cache.to_owned()),
            token: token.map(str::to_owned),
            limits,
            agent,
        })
    }

    /// Downloads what a checkpoint needs of `repo`: the configuration, the tokenizer's files, and
    /// the weights, as safetensors where there are any and else as PyTorch files.
    ///
    /// The files go to `out`, or without it to the cache: `models--OWNER--NAME/snapshots/COMMIT`.
    /// Returns that folder.
    ///
    /// # Errors
    /// When the hub cannot be reached or refuses, the repository holds no checkpoint, a file comes
    /// differently than announced, or the disk does not take it. Files that came whole stay.
    pub fn download(
        &self,
        repo: &str,
        revision: Option<&str>,
        out: Option<&Path>,
        progress: &mut dyn Progress,
    ) -> Result<PathBuf, HubError> {
        let revision = revision.unwrap_or(DEFAULT_REVISION);
        listing::check_repo(repo)?;
        listing::check_revision(revision)?;
        let listing = listing::fetch(self, repo, revision)?;
        let files = listing::checkpoint_files(repo, &listing)?;

        let cached = self.cache.repo(Repo::with_revision(
            repo.to_owned(),
            RepoType::Model,
            revision.to_owned(),
        ));
        let folder = match out {
            Some(out) => out.to_owned(),
            None => cached.pointer_path(&listing.sha),
        };
        fs::create_dir_all(&folder).map_err(|source| HubError::io(&folder, source))?;
        for file in files {
            let source = transfer::Source { hub: self, repo, revision, commit: &listing.sha };
            // Only the cache names its folders by commit; elsewhere a file may be of another one.
            transfer::fetch(&source, file, &folder, out.is_none(), progress)?;
        }
        if out.is_none() {
            cached.create_ref(&listing.sha).map_err(|source| HubError::io(&folder, source))?;
        }
        Ok(folder)
    }
}
