//! Which hub, as whom, and how long to wait.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::error::HubError;
use super::proxy::Proxies;

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
    /// Through which proxies the hub is asked.
    pub proxies: Proxies,
    /// Whether only the cache may be used.
    pub offline: bool,
}

impl Hub {
    /// The hub that the environment describes, by the variables of Hugging Face's own tools:
    /// `HF_ENDPOINT`, `HF_HOME` (else `~/.cache/huggingface`), `HF_HUB_CACHE` (else `HF_HOME/hub`),
    /// `HF_TOKEN` (else the file `HF_TOKEN_PATH`, else `HF_HOME/token`), `HF_HUB_OFFLINE`; and by
    /// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.
    ///
    /// # Errors
    /// When there is no home folder, or a proxy's address is none.
    pub fn from_env() -> Result<Self, HubError> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let text = |name: &str| set(name).map(|value| value.to_string_lossy().into_owned());
        let in_cache = || Some(PathBuf::from(set("XDG_CACHE_HOME")?).join("huggingface"));
        let in_home = || Some(std::env::home_dir()?.join(".cache/huggingface"));
        let home = set("HF_HOME").map(PathBuf::from).or_else(in_cache).or_else(in_home);
        let home = home.ok_or_else(|| {
            HubError::Setting(
                "no home folder is known for the cache: set HF_HOME to a folder".into(),
            )
        })?;
        let token_file = set("HF_TOKEN_PATH").map_or_else(|| home.join("token"), PathBuf::from);
        let is_yes = |value: String| ["1", "ON", "YES", "TRUE"].contains(&&*value.to_uppercase());
        Ok(Self {
            endpoint: text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned()),
            cache: set("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from),
            token: text("HF_TOKEN").or_else(|| fs::read_to_string(token_file).ok()),
            timeout: Duration::from_secs(30),
            attempts: 5,
            pause: Duration::from_secs(1),
            proxies: Proxies::new(text)?,
            offline: text("HF_HUB_OFFLINE").is_some_and(is_yes),
        })
    }
}
