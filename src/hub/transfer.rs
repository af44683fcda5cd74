//! One file from the hub to the disk: resumed when it breaks, checked, and named when it is whole.

use std::error::Error as StdError;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;

use sha2::{Digest, Sha256};
use ureq::Body;
use ureq::http::Response;

use super::listing::RemoteFile;
use super::{Hub, HubError, Progress};

/// A transfer that brings this much is not counted among those that failed.
const WORTHWHILE_BYTES: u64 = 1 << 20;
const BUFFER_BYTES: usize = 256 << 10;

/// Where a file comes from. `commit` is what `revision` meant when the list was read, so that all
/// files belong together.
pub struct Source<'a> {
    pub hub: &'a Hub,
    pub repo: &'a str,
    pub revision: &'a str,
    pub commit: &'a str,
}

/// How an attempt ended short of the whole file.
enum Failure {
    /// Worth another attempt.
    Broken(Box<dyn StdError + Send + Sync>),
    /// Repeating would not help.
    Final(HubError),
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        Self::Final(error)
    }
}

/// Fetches `file` into `folder`, unless it is there. `of_this_commit`: the folder holds files of
/// this commit only, so that a file of the right size is the right file.
pub fn fetch(
    source: &Source,
    file: &RemoteFile,
    folder: &Path,
    of_this_commit: bool,
    progress: &mut dyn Progress,
) -> Result<(), HubError> {
    let target = folder.join(&file.name);
    if is_present(file, &target, of_this_commit)? {
        return Ok(());
    }
    let tag = source.commit.get(..12).unwrap_or(source.commit);
    let mut transfer = Transfer {
        source,
        file,
        size: file.size,
        part: Part::open(folder.join(format!("{}.{tag}.part", file.name)))?,
    };
    transfer.run(progress)?;
    transfer.part.verify(file)?;
    transfer.part.name(&target)?;
    progress.finish(&file.name);
    Ok(())
}

fn is_present(file: &RemoteFile, target: &Path, of_this_commit: bool) -> Result<bool, HubError> {
    let Ok(found) = fs::metadata(target) else {
        return Ok(false);
    };
    if !found.is_file() || file.size.is_some_and(|size| size != found.len()) {
        return Ok(false);
    }
    match file.sha256() {
        _ if of_this_commit => Ok(true),
        None => Ok(false),
        Some(expected) => {
            let mut contents = File::open(target).map_err(|source| HubError::io(target, source))?;
            let found = sha256(&mut contents).map_err(|source| HubError::io(target, source))?;
            Ok(found.eq_ignore_ascii_case(expected))
        }
    }
}

fn sha256(contents: &mut File) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(contents, &mut hasher)?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What arrived of a file so far. The lock ends with the value.
struct Part {
    path: PathBuf,
    file: File,
}

impl Part {
    fn open(path: PathBuf) -> Result<Self, HubError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|source| HubError::io(&path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, file }),
            Err(TryLockError::WouldBlock) => Err(HubError::Busy { path }),
            Err(TryLockError::Error(source)) => Err(HubError::io(&path, source)),
        }
    }

    fn length(&self) -> Result<u64, HubError> {
        let facts = self.file.metadata().map_err(|source| HubError::io(&self.path, source))?;
        Ok(facts.len())
    }

    fn clear(&mut self) -> Result<(), HubError> {
        self.file.set_len(0).map_err(|source| HubError::io(&self.path, source))
    }

    /// Without a digest from the hub there is nothing to compare with.
    fn verify(&mut self, file: &RemoteFile) -> Result<(), HubError> {
        let Some(expected) = file.sha256() else {
            return Ok(());
        };
        let found = self
            .file
            .seek(SeekFrom::Start(0))
            .and_then(|_| sha256(&mut self.file))
            .map_err(|source| HubError::io(&self.path, source))?;
        if found.eq_ignore_ascii_case(expected) {
            return Ok(());
        }
        self.clear()?;
        let (file, expected) = (file.name.clone(), expected.to_owned());
        Err(HubError::Digest { file, expected, found })
    }

    /// On disk first and then under its name, so that a power cut leaves no half file there.
    fn name(&self, target: &Path) -> Result<(), HubError> {
        self.file.sync_all().map_err(|source| HubError::io(&self.path, source))?;
        fs::rename(&self.path, target).map_err(|source| HubError::io(target, source))
    }
}

struct Transfer<'a> {
    source: &'a Source<'a>,
    file: &'a RemoteFile,
    /// From the list, or else from the first answer.
    size: Option<u64>,
    part: Part,
}

impl Transfer<'_> {
    /// Repeats attempts until the file is whole. Each must bring something worthwhile or counts as
    /// failed, so that the loop ends whatever the server does.
    fn run(&mut self, progress: &mut dyn Progress) -> Result<(), HubError> {
        let limits = &self.source.hub.limits;
        let mut best = self.part.length()?;
        let mut failed = 0;
        loop {
            let source = match self.attempt(progress) {
                Ok(()) => return Ok(()),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Broken(source)) => source,
            };
            let received = self.part.length()?;
            failed = if received >= best + WORTHWHILE_BYTES { 0 } else { failed + 1 };
            best = best.max(received);
            if failed >= limits.attempts {
                let file = self.file.name.clone();
                return Err(HubError::Interrupted { file, received, attempts: failed, source });
            }
            thread::sleep(limits.pause * 2_u32.pow(failed.min(5)));
        }
    }

    /// One request for what is missing.
    fn attempt(&mut self, progress: &mut dyn Progress) -> Result<(), Failure> {
        let mut start = self.part.length()?;
        if self.size.is_some_and(|size| start > size) {
            self.part.clear()?;
            start = 0;
        }
        if start > 0 && self.size == Some(start) {
            return Ok(()); // all had arrived when the last run ended
        }
        let url = self.url();
        let response = self.source.hub.get(&url, start).map_err(|source| match source {
            ureq::Error::TooManyRedirects => HubError::Redirects { url: url.clone() }.into(),
            source => Failure::Broken(source.into()),
        })?;
        self.check_status(&url, &response)?;
        if response.status() == 416 {
            self.part.clear()?;
            return Err(Failure::Broken("the hub cannot go on from where it stopped".into()));
        }
        if response.status() == 200 && start > 0 {
            self.part.clear()?; // the server knows no ranges and sends it all
            start = 0;
        }
        let size = self.agree_on_size(&url, &response, start)?;
        progress.begin(&self.file.name, size);
        self.receive(response.into_body(), start, size, progress)
    }

    fn url(&self) -> String {
        let Source { hub, repo, commit, .. } = self.source;
        format!("{}/{repo}/resolve/{commit}/{}", hub.endpoint, self.file.name)
    }

    fn check_status(&self, url: &str, response: &Response<Body>) -> Result<(), Failure> {
        let Source { hub, repo, revision, .. } = self.source;
        let repo = (*repo).to_owned();
        Err(match response.status().as_u16() {
            200 | 206 | 416 => return Ok(()),
            status @ (401 | 403) => {
                HubError::Refused { endpoint: hub.endpoint.clone(), repo, status }.into()
            }
            404 => {
                let (revision, file) = ((*revision).to_owned(), self.file.name.clone());
                HubError::FileNotFound { repo, revision, file }.into()
            }
            status @ (408 | 429 | 500..=599) => {
                Failure::Broken(format!("the hub answered with status {status}").into())
            }
            status => HubError::Status { url: url.to_owned(), status }.into(),
        })
    }

    /// The size of the whole file; list, range and length of the answer must agree on it.
    fn agree_on_size(
        &mut self,
        url: &str,
        response: &Response<Body>,
        start: u64,
    ) -> Result<u64, HubError> {
        let by_length = response.body().content_length().map(|length| length.saturating_add(start));
        let mut announced = by_length;
        if response.status() == 206 {
            let range = response.headers().get("Content-Range").and_then(|v| v.to_str().ok());
            let (first, total) = range.and_then(parse_content_range).unwrap_or((start, None));
            if first != start {
                let found = format!("them from byte {first} instead of {start}");
                return self.wrong_size(self.size.unwrap_or_default(), found);
            }
            announced = total.or(by_length);
        }
        let Some(size) = self.size.or(announced) else {
            return Err(HubError::NoSize { url: url.to_owned() });
        };
        for found in [announced, by_length].into_iter().flatten() {
            if found != size {
                return self.wrong_size(size, found.to_string());
            }
        }
        self.size = Some(size);
        Ok(size)
    }

    fn wrong_size<T>(&mut self, expected: u64, found: String) -> Result<T, HubError> {
        self.part.clear()?;
        Err(HubError::Size { file: self.file.name.clone(), expected, found })
    }

    /// Appends the body to the part, which holds `start` bytes.
    fn receive(
        &mut self,
        body: Body,
        start: u64,
        size: u64,
        progress: &mut dyn Progress,
    ) -> Result<(), Failure> {
        let path = &self.part.path;
        self.part.file.seek(SeekFrom::Start(start)).map_err(|e| HubError::io(path, e))?;
        let mut reader = body.into_reader();
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut position = start;
        progress.position(position);
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) if position == size => return Ok(()),
                Ok(0) => return Err(Failure::Broken("the connection was closed".into())),
                Ok(count) => count,
                Err(_) if position == size => return Ok(()),
                Err(source) => return Err(Failure::Broken(source.into())),
            };
            let end = position.saturating_add(count as u64);
            if end > size {
                return Ok(self.wrong_size(size, format!("more than {size}"))?);
            }
            self.part.file.write_all(&buffer[..count]).map_err(|source| {
                let path = self.part.path.clone();
                match source.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                        HubError::DiskFull { path, missing: size - position }
                    }
                    _ => HubError::Io { path, source },
                }
            })?;
            position = end;
            progress.position(position);
        }
    }
}

/// `bytes FIRST-LAST/TOTAL`; the total may be `*`.
fn parse_content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()))
}
