//! What can go wrong with a download, and what to do then.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a checkpoint could not be downloaded.
#[derive(Debug, Error)]
pub enum HubError {
    /// `HF_ENDPOINT` is not a web address.
    #[error("HF_ENDPOINT {0:?}: expected an address like https://huggingface.co")]
    Endpoint(String),
    /// The access token has characters that no token has.
    #[error("HF_TOKEN has blanks or other characters that no token has: copy it again")]
    Token,
    /// Neither `HF_HOME` nor a home folder is known.
    #[error("no home folder is known for the cache: set HF_HOME to a folder")]
    NoHome,
    /// The name of the model cannot be one of the hub.
    #[error("model {0:?}: expected OWNER/NAME, of letters, digits, '.', '_' and '-'")]
    RepoName(String),
    /// The revision cannot be a branch, tag or commit of the hub.
    #[error(
        "revision {0:?}: expected a branch, tag or commit, of letters, digits, '.', '_', '-' and '/'"
    )]
    RevisionName(String),
    /// No answer came from the hub.
    #[error(
        "cannot reach {endpoint}: {source}; check the connection, or set HF_ENDPOINT to a mirror"
    )]
    Unreachable {
        /// The address of the hub.
        endpoint: String,
        /// What happened.
        source: Box<ureq::Error>,
    },
    /// One address leads to the next without end.
    #[error("{url} redirects again and again; check HF_ENDPOINT and the proxy settings")]
    Redirects {
        /// The first address.
        url: String,
    },
    /// The hub wants to know who asks, or does not allow it.
    #[error(
        "{endpoint} refuses {repo} (status {status}): if the name is right, the model is private or \
         gated; accept its licence at {endpoint}/{repo} and set HF_TOKEN to a token that may read it"
    )]
    Refused {
        /// The address of the hub.
        endpoint: String,
        /// The model.
        repo: String,
        /// The status of the answer, 401 or 403.
        status: u16,
    },
    /// There is no such model or revision.
    #[error(
        "{endpoint} has no model {repo} with the revision {revision} (status 404): check the \
         spelling (OWNER/NAME) and --revision; a private model needs HF_TOKEN"
    )]
    RepoNotFound {
        /// The address of the hub.
        endpoint: String,
        /// The model.
        repo: String,
        /// The revision asked for.
        revision: String,
    },
    /// A file of the list cannot be fetched.
    #[error(
        "{repo} lists the file {file} for the revision {revision}, yet the hub does not have it \
         (status 404): try again later or another --revision"
    )]
    FileNotFound {
        /// The model.
        repo: String,
        /// The revision asked for.
        revision: String,
        /// The file.
        file: String,
    },
    /// An answer with an unexpected status.
    #[error("{url}: the hub answered with status {status}; try again later")]
    Status {
        /// The address.
        url: String,
        /// The status.
        status: u16,
    },
    /// The list of files is not what the hub sends.
    #[error("{url}: expected the hub's description of a model: {source}; check HF_ENDPOINT")]
    Listing {
        /// The address.
        url: String,
        /// What is wrong.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The list of files has a name that would lead out of the folder, or that no file should have.
    #[error("{repo} lists a file {name:?}, which is no safe file name: nothing was downloaded")]
    UnsafeName {
        /// The model.
        repo: String,
        /// The name.
        name: String,
    },
    /// The repository lacks something without which it is no checkpoint.
    #[error("{repo} is no checkpoint: it has no {missing}; check the name or --revision")]
    NotACheckpoint {
        /// The model.
        repo: String,
        /// What is not there.
        missing: &'static str,
    },
    /// A transfer broke, and repeating it did not help.
    #[error(
        "{file}: the transfer broke at {received} bytes, {attempts} times in a row without getting \
         on: {source}; what arrived is kept, run the command again to go on from there"
    )]
    Interrupted {
        /// The file.
        file: String,
        /// How many bytes are on disk.
        received: u64,
        /// How often it was tried.
        attempts: u32,
        /// How the last transfer broke.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The hub does not say how large a file is.
    #[error("{url}: the hub does not say how large the file is; check HF_ENDPOINT")]
    NoSize {
        /// The address.
        url: String,
    },
    /// A file is larger or smaller than it should be.
    #[error(
        "{file}: expected {expected} bytes, but the hub sends {found}; it was discarded, try again"
    )]
    Size {
        /// The file.
        file: String,
        /// The size announced first.
        expected: u64,
        /// The size announced with the transfer, or what arrived.
        found: String,
    },
    /// A file arrived with other contents than the hub has.
    #[error("{file}: expected SHA-256 {expected}, found {found}; it was discarded, try again")]
    Digest {
        /// The file.
        file: String,
        /// The hub's digest, in hexadecimal.
        expected: String,
        /// The digest of what arrived.
        found: String,
    },
    /// There is no room left for a file.
    #[error(
        "{}: the disk is full, {missing} bytes are still to come; make room and run the command \
         again, or choose another disk with --out or HF_HOME", path.display()
    )]
    DiskFull {
        /// The file that was being written.
        path: PathBuf,
        /// How many bytes of it are missing.
        missing: u64,
    },
    /// Another process writes the same file.
    #[error("{} is being written by another download: wait for it to end", path.display())]
    Busy {
        /// The partial file.
        path: PathBuf,
    },
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl HubError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}
