//! The list of a repository's files, and which of them make a checkpoint.
//!
//! `GET /api/models/REPO/revision/REVISION?blobs=true` tells the commit and, for each file, its
//! name, its size and, if it is stored by LFS, its SHA-256.

use std::io::BufReader;

use serde::Deserialize;

use super::HubError;
use super::request::Client;

/// What a model folder may hold for us beside the weights. It must hold `config.json`.
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

/// A longer list is not read: that of the largest checkpoints has some 100 KB.
const MAX_LISTING_BYTES: u64 = 32 << 20;

/// What the hub tells about a repository at a revision.
#[derive(Deserialize)]
pub struct Listing {
    /// The commit that the revision means now.
    pub sha: String,
    siblings: Vec<RemoteFile>,
}

/// What the hub tells about a file; mirrors may leave out all but the name.
#[derive(Deserialize)]
pub struct RemoteFile {
    /// The path in the repository.
    #[serde(rename = "rfilename")]
    pub name: String,
    /// The size in bytes.
    pub size: Option<u64>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
}

impl RemoteFile {
    /// The SHA-256 of the contents in hexadecimal, where the hub knows it.
    pub fn sha256(&self) -> Option<&str> {
        self.lfs.as_ref()?.sha256.as_deref()
    }
}

/// Whether `name` has the form `OWNER/NAME` that the models of the hub have.
pub fn is_repo_name(name: &str) -> bool {
    name.split('/').count() == 2 && name.split('/').all(is_plain_name)
}

/// Refuses names that the hub cannot have: they become parts of addresses and of paths.
pub fn check_names(repo: &str, revision: &str) -> Result<(), HubError> {
    let allowed = "of letters, digits, '.', '_' and '-'";
    if repo.split('/').count() > 2 || !repo.split('/').all(is_plain_name) {
        return Err(HubError::Setting(format!("model {repo:?}: expected OWNER/NAME, {allowed}")));
    }
    if !revision.split('/').all(is_plain_name) {
        let expected = format!("a branch, tag or commit, {allowed}, with '/' between parts");
        return Err(HubError::Setting(format!("revision {revision:?}: expected {expected}")));
    }
    Ok(())
}

/// Whether `name` is a file name on every system: no separator, drive, blank or leading dot.
fn is_plain_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && name.len() <= 200 && !name.starts_with('.') && name.bytes().all(allowed)
}

pub fn is_commit(commit: &str) -> bool {
    commit.len() >= 12 && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub fn is_safetensors(name: &str) -> bool {
    is_plain_name(name) && name.ends_with(".safetensors")
}

pub fn is_pytorch(name: &str) -> bool {
    is_plain_name(name) && name.starts_with("pytorch_model") && name.ends_with(".bin")
}

/// Asks the hub for the files of a model.
pub fn fetch(client: &Client, revision: &str) -> Result<Listing, HubError> {
    let revision = revision.replace('/', "%2F");
    let url = client.url(&format!("api/models/{}/revision/{revision}?blobs=true", client.repo));
    let mut response = client.get(&url, 0)?;
    let text = response.body_mut().with_config().limit(MAX_LISTING_BYTES).reader();
    let problem = match serde_json::from_reader::<_, Listing>(BufReader::new(text)) {
        Ok(listing) if is_commit(&listing.sha) => return Ok(listing),
        Ok(listing) => format!("{:?} is not a commit", listing.sha),
        Err(problem) => problem.to_string(),
    };
    Err(HubError::Answer(url, format!("expected the hub's description of a model: {problem}")))
}

/// The files that make the checkpoint: the configuration first and the weights last, so that a
/// wrong choice of model shows before the large files come.
pub fn checkpoint_files<'a>(
    repo: &str,
    listing: &'a Listing,
) -> Result<Vec<&'a RemoteFile>, HubError> {
    let refuse = |reason: String| Err(HubError::NotACheckpoint(repo.to_owned(), reason));
    let files = &listing.siblings;
    if let Some(RemoteFile { name, .. }) = files.iter().find(|file| !is_safe_path(&file.name)) {
        return refuse(format!("{name:?} is not a safe file name, nothing was downloaded"));
    }
    let has_safetensors = files.iter().any(|file| is_safetensors(&file.name));
    let is_weights = if has_safetensors { is_safetensors } else { is_pytorch };
    let is_index = |name: &str| name.strip_suffix(".index.json").is_some_and(is_weights);
    let wanted = |name: &str| SIDE_FILES.contains(&name) || is_index(name) || is_weights(name);
    let mut files: Vec<_> = files.iter().filter(|file| wanted(&file.name)).collect();
    files.sort_by_key(|file| (is_weights(&file.name), file.name != "config.json"));
    if files.first().is_none_or(|file| file.name != "config.json") {
        return refuse("it has no config.json".to_owned());
    }
    match files.last().is_some_and(|file| is_weights(&file.name)) {
        true => Ok(files),
        false => refuse("it has no weights (*.safetensors or pytorch_model*.bin)".to_owned()),
    }
}

/// Whether a path of the list stays inside the folder, and is plain if it may be fetched. Files in
/// subfolders are legal on the hub; they are not fetched.
fn is_safe_path(path: &str) -> bool {
    let leaves = path.split(['/', '\\']).any(|part| part.is_empty() || part == "..")
        || path.contains([':', '\0']);
    let may_be_fetched = !path.contains('/') && path.contains(".safetensors");
    !leaves && (!may_be_fetched || is_plain_name(path))
}
