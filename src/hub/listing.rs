//! The list of a repository's files, and which of them make a checkpoint.
//!
//! `GET /api/models/REPO/revision/REVISION?blobs=true` tells the commit and, for each file, its
//! name, its size and, if it is stored by LFS, its SHA-256.

use serde::Deserialize;

use super::{Hub, HubError};

/// Beside the weights, what a model folder may hold for us; `config.json` it must hold.
const SIDE_FILES: [&str; 8] = [
    "config.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "tokenizer.json",
    "added_tokens.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
];

/// A list longer than this is not read: that of the largest checkpoints has some 100 KB.
const MAX_LISTING_BYTES: u64 = 32 << 20;

/// What the hub tells about a repository at a revision.
#[derive(Debug, Deserialize)]
pub struct Listing {
    /// The commit that the revision means now.
    pub sha: String,
    siblings: Vec<RemoteFile>,
}

/// What the hub tells about a file; mirrors may leave out all but the name.
#[derive(Debug, Deserialize)]
pub struct RemoteFile {
    /// The path in the repository.
    #[serde(rename = "rfilename")]
    pub name: String,
    /// The size in bytes.
    pub size: Option<u64>,
    lfs: Option<Lfs>,
}

#[derive(Debug, Deserialize)]
struct Lfs {
    sha256: Option<String>,
}

impl RemoteFile {
    /// The SHA-256 of the contents in hexadecimal, where the hub knows it.
    pub fn sha256(&self) -> Option<&str> {
        self.lfs.as_ref()?.sha256.as_deref()
    }
}

/// Refuses what cannot be `OWNER/NAME` or `NAME`: it becomes part of addresses and of paths.
pub fn check_repo(repo: &str) -> Result<(), HubError> {
    let parts: Vec<&str> = repo.split('/').collect();
    match parts.len() <= 2 && parts.iter().all(|part| is_plain_name(part)) {
        true => Ok(()),
        false => Err(HubError::RepoName(repo.to_owned())),
    }
}

/// Refuses what cannot be a branch, tag or commit: it becomes part of addresses and of paths.
pub fn check_revision(revision: &str) -> Result<(), HubError> {
    match revision.split('/').all(is_plain_name) {
        true => Ok(()),
        false => Err(HubError::RevisionName(revision.to_owned())),
    }
}

/// Whether `name` is a file name on every system: no separator, drive, blank or leading dot.
fn is_plain_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && name.len() <= 200 && !name.starts_with('.') && name.bytes().all(allowed)
}

/// Asks the hub for the files of `repo`.
pub fn fetch(hub: &Hub, repo: &str, revision: &str) -> Result<Listing, HubError> {
    let endpoint = &hub.endpoint;
    let escaped = revision.replace('/', "%2F");
    let url = format!("{endpoint}/api/models/{repo}/revision/{escaped}?blobs=true");
    let mut response = hub.get(&url, 0).map_err(|source| match source {
        ureq::Error::TooManyRedirects => HubError::Redirects { url: url.clone() },
        source => HubError::Unreachable { endpoint: endpoint.clone(), source: Box::new(source) },
    })?;
    match response.status().as_u16() {
        200 => {}
        status @ (401 | 403) => {
            let (endpoint, repo) = (endpoint.clone(), repo.to_owned());
            return Err(HubError::Refused { endpoint, repo, status });
        }
        404 => {
            let (repo, revision) = (repo.to_owned(), revision.to_owned());
            return Err(HubError::RepoNotFound { endpoint: endpoint.clone(), repo, revision });
        }
        status => return Err(HubError::Status { url, status }),
    }
    let text = response.body_mut().with_config().limit(MAX_LISTING_BYTES).read_to_vec();
    let text = match text {
        Ok(text) => text,
        Err(source) => {
            return Err(HubError::Listing { url, source: source.into() });
        }
    };
    let listing: Listing = serde_json::from_slice(&text)
        .map_err(|source| HubError::Listing { url: url.clone(), source: source.into() })?;
    let is_commit = listing.sha.len() >= 12 && listing.sha.bytes().all(|b| b.is_ascii_hexdigit());
    match is_commit {
        true => Ok(listing),
        false => {
            let source = format!("{:?} is no commit", listing.sha).into();
            Err(HubError::Listing { url, source })
        }
    }
}

/// The files that make the checkpoint: configuration and tokenizer first, so that a wrong choice
/// of model shows before the large files come.
pub fn checkpoint_files<'a>(
    repo: &str,
    listing: &'a Listing,
) -> Result<Vec<&'a RemoteFile>, HubError> {
    for file in &listing.siblings {
        check_path(repo, &file.name)?;
    }
    let chosen = |wanted: &dyn Fn(&str) -> bool| -> Vec<&'a RemoteFile> {
        listing.siblings.iter().filter(|file| wanted(&file.name)).collect()
    };
    let missing = |missing| HubError::NotACheckpoint { repo: repo.to_owned(), missing };

    let mut files = chosen(&|name| SIDE_FILES.contains(&name));
    if !files.iter().any(|file| file.name == "config.json") {
        return Err(missing("config.json"));
    }
    let is_safetensors = |name: &str| is_plain_name(name) && name.ends_with(".safetensors");
    let is_pytorch = |name: &str| {
        is_plain_name(name) && name.starts_with("pytorch_model") && name.ends_with(".bin")
    };
    let safetensors = chosen(&is_safetensors);
    let pytorch = chosen(&is_pytorch);
    if !safetensors.is_empty() {
        files.extend(chosen(&|name| {
            is_plain_name(name) && name.ends_with(".safetensors.index.json")
        }));
        files.extend(safetensors);
    } else if !pytorch.is_empty() {
        files.extend(chosen(&|name| name == "pytorch_model.bin.index.json"));
        files.extend(pytorch);
    } else {
        return Err(missing("weights (*.safetensors or pytorch_model*.bin)"));
    }
    Ok(files)
}

/// Refuses a list with a path that leads elsewhere, and a weight file whose name is not plain.
/// Files in subfolders are legal on the hub; they are not fetched.
fn check_path(repo: &str, path: &str) -> Result<(), HubError> {
    let leaves = path.split(['/', '\\']).any(|part| part.is_empty() || part == "..")
        || path.contains([':', '\0']);
    let odd_weights = !path.contains('/') && path.contains(".safetensors") && !is_plain_name(path);
    match leaves || odd_weights {
        true => Err(HubError::UnsafeName { repo: repo.to_owned(), name: path.to_owned() }),
        false => Ok(()),
    }
}
