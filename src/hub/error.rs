//! What can go wrong with a download, and what to do then.

#![allow(missing_docs, reason = "each message shows what its fields are")]

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

/// Why a checkpoint could not be downloaded.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// A setting, or the name of a model or revision, cannot be right.
    #[error("{0}")]
    Setting(String),
    /// An address gives no answer, or says that it is busy. A transfer is tried again.
    #[error(
        "cannot reach {0}: {1}; check the connection, try again later, or set HF_ENDPOINT to a mirror"
    )]
    Unreachable(String, #[source] Box<dyn Error + Send + Sync>),
    /// An address shows a certificate that leads to no root certificate that is known here.
    #[error(
        "{0} shows a certificate that is not trusted ({1}); if this network replaces certificates, \
         name its root certificate (a PEM file) by SSL_CERT_FILE"
    )]
    Certificate(String, #[source] Box<dyn Error + Send + Sync>),
    /// The hub must not be asked.
    #[error(
        "{repo} is not in {}, and HF_HUB_OFFLINE forbids to fetch it; unset HF_HUB_OFFLINE, or copy \
         the model's folder there from another machine",
        cache.display()
    )]
    Offline { repo: String, cache: PathBuf },
    /// The model's configuration is not one that this program can run.
    #[error("{repo} ({kind}) cannot run here, and its weights were not fetched: {reason}")]
    CannotRun { repo: String, kind: String, reason: String },
    /// The disk has less room than the model needs: bytes to come, and bytes that are free.
    #[error(
        "{}: {} bytes are still to come, but the disk has {} left; make room, or choose another disk \
         with --out or HF_HOME",
        folder.display(), missing, free
    )]
    NoRoom { folder: PathBuf, missing: u64, free: u64 },
    /// An address gives an answer that is not a hub's.
    #[error("{0}: {1}; check HF_ENDPOINT and the proxy settings, or try again later")]
    Answer(String, String),
    /// The hub wants to know who asks for a model, or does not allow it (status 401 or 403).
    #[error(
        "{page} is refused (status {status}): if the name is right, the model is private or gated; \
         accept its licence at {page} and set HF_TOKEN to a token that may read it"
    )]
    Refused { page: String, status: u16 },
    /// The hub has nothing at an address: no such model, revision, or file.
    #[error(
        "{0} is not found (status 404): check the spelling (OWNER/NAME) and --revision; a private \
         model needs HF_TOKEN"
    )]
    NotFound(String),
    /// A repository lacks a file without which it is not a checkpoint, or lists a file that could
    /// be written outside the folder.
    #[error("{0} is not a checkpoint: {1}; check the name or --revision")]
    NotACheckpoint(String, String),
    /// A transfer broke, and repeating it did not help.
    #[error(
        "{file}: the transfer broke at {received} bytes, {attempts} times in a row without progress: \
         {source}. What arrived is kept; run the command again to resume"
    )]
    Interrupted { file: String, received: u64, attempts: u32, source: Box<HubError> },
    /// A file has another size or other contents than the hub announced.
    #[error("{file}: expected {expected}, but the hub sends {found}; it was discarded, try again")]
    Content { file: String, expected: String, found: String },
    /// A file or folder cannot be read or written. Of the kinds of `source`, `StorageFull` means a
    /// full disk and `WouldBlock` that another download writes the file.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl HubError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}
