//! One file from the hub to the disk: resumed when the transfer breaks, checked, and named when it
//! is whole.

use std::error::Error;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;

use ring::digest::{Context, SHA256};
use ureq::Body;
use ureq::http::Response;

use super::HubError;
use super::listing::RemoteFile;
use super::request::Client;

/// What a download tells while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// The configuration is here and can be run; so many bytes are still to come, if the hub tells.
    Begins(Option<u64>),
    /// A file's path in the repository, how many bytes of it are on disk, and its size in bytes. The
    /// second number falls when a transfer must start again.
    Received(&'a str, u64, u64),
}

/// Called with each event.
pub type Progress<'a> = &'a mut dyn FnMut(Event);

/// An attempt that brings this much does not count as failed.
const PROGRESS_BYTES: u64 = 1 << 20;
const BUFFER_BYTES: usize = 256 << 10;

/// Fetches a file of `commit` into `folder`, unless it is there. `one_commit`: the folder holds
/// files of this commit only, so that a file of the right size is the right file.
pub fn fetch(
    client: &Client,
    commit: &str,
    remote: &RemoteFile,
    folder: &Path,
    one_commit: bool,
    progress: Progress,
) -> Result<(), HubError> {
    let target = folder.join(&remote.name);
    if is_present(remote, &target, one_commit)? {
        return Ok(());
    }
    let path = part_path(commit, remote, folder);
    let url = client.url(&format!("{}/resolve/{commit}/{}", client.repo, remote.name));
    let part = open_locked(&path)?;
    let received = part.metadata().map_err(HubError::io(&path))?.len();
    let size = remote.size;
    let mut transfer = Transfer { client, remote, url, path, part, received, size, progress };
    transfer.run()?;
    if let Some(found) = wrong_sha256(remote, &mut transfer.part, &transfer.path)? {
        let expected = format!("SHA-256 {}", remote.sha256().unwrap_or_default());
        return Err(transfer.discard(expected, &found));
    }
    // On disk first and then under its name, so that a power cut leaves no half file there.
    transfer.part.sync_all().map_err(HubError::io(&transfer.path))?;
    fs::rename(&transfer.path, &target).map_err(HubError::io(&target))?;
    (transfer.progress)(Event::Received(&remote.name, transfer.received, transfer.received));
    Ok(())
}

/// Where the file is as long as it is not whole.
fn part_path(commit: &str, remote: &RemoteFile, folder: &Path) -> PathBuf {
    let tag = commit.get(..12).unwrap_or(commit);
    folder.join(format!("{}.{tag}.part", remote.name))
}

/// How many bytes of a file are still to come, by the lengths of what is there; none where the hub
/// does not tell its size.
pub fn missing_bytes(commit: &str, remote: &RemoteFile, folder: &Path) -> Option<u64> {
    let length = |path: &Path| fs::metadata(path).map_or(0, |there| there.len());
    let size = remote.size?;
    let is_there = length(&folder.join(&remote.name)) == size;
    let received = if is_there { size } else { length(&part_path(commit, remote, folder)) };
    Some(size.saturating_sub(received))
}

fn is_present(remote: &RemoteFile, target: &Path, one_commit: bool) -> Result<bool, HubError> {
    let Ok(found) = fs::metadata(target) else { return Ok(false) };
    let has_size = found.is_file() && remote.size.is_none_or(|size| size == found.len());
    if !has_size || one_commit || remote.sha256().is_none() {
        return Ok(has_size && one_commit);
    }
    let mut file = File::open(target).map_err(HubError::io(target))?;
    Ok(wrong_sha256(remote, &mut file, target)?.is_none())
}

/// The SHA-256 of the file in hexadecimal, if the hub tells another one.
fn wrong_sha256(
    remote: &RemoteFile,
    file: &mut File,
    path: &Path,
) -> Result<Option<String>, HubError> {
    let Some(expected) = remote.sha256() else { return Ok(None) };
    file.seek(SeekFrom::Start(0)).map_err(HubError::io(path))?;
    let (mut hash, mut reader) =
        (Context::new(&SHA256), BufReader::with_capacity(BUFFER_BYTES, file));
    loop {
        let bytes = reader.fill_buf().map_err(HubError::io(path))?;
        if bytes.is_empty() {
            break;
        }
        hash.update(bytes);
        let count = bytes.len();
        reader.consume(count);
    }
    let found: String = hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((!found.eq_ignore_ascii_case(expected)).then_some(found))
}

/// The file with what arrived so far, for this process alone.
fn open_locked(path: &Path) -> Result<File, HubError> {
    let mut options = File::options();
    let options = options.read(true).write(true).create(true).truncate(false);
    let file = options.open(path).map_err(HubError::io(path))?;
    let source = match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::Error(source)) => source,
        Err(TryLockError::WouldBlock) => {
            io::Error::new(ErrorKind::WouldBlock, "another download writes it: wait for its end")
        }
    };
    Err(HubError::io(path)(source))
}

struct Transfer<'a> {
    client: &'a Client<'a>,
    remote: &'a RemoteFile,
    url: String,
    path: PathBuf,
    /// The file at `path`.
    part: File,
    /// Bytes of it.
    received: u64,
    /// Of the whole file, from the list or else from the first answer.
    size: Option<u64>,
    progress: Progress<'a>,
}

impl Transfer<'_> {
    /// Repeats attempts until the file is whole. An attempt without progress counts as failed, so
    /// that the loop ends whatever the server does.
    fn run(&mut self) -> Result<(), HubError> {
        let hub = self.client.hub;
        let (mut best, mut failed) = (self.received, 0);
        while self.size != Some(self.received) {
            let error = match self.attempt() {
                Err(error @ HubError::Unreachable(..)) => error,
                done_or_final => return done_or_final,
            };
            let received = self.received;
            failed = if received >= best + PROGRESS_BYTES { 0 } else { failed + 1 };
            best = best.max(received);
            if failed >= hub.attempts {
                let (file, source) = (self.remote.name.clone(), Box::new(error));
                return Err(HubError::Interrupted { file, received, attempts: failed, source });
            }
            thread::sleep(hub.pause * 2_u32.pow(failed.min(5)));
        }
        Ok(())
    }

    /// One request for what is missing. After [`HubError::Unreachable`] another one may help.
    fn attempt(&mut self) -> Result<(), HubError> {
        let response = self.client.get(&self.url, self.received)?;
        if response.status() != 206 && self.received > 0 {
            self.clear()?; // the server cannot resume: it sends the whole file, or status 416
        }
        if response.status() == 416 {
            return Err(self.broken("the hub cannot resume where the transfer broke"));
        }
        let size = self.agree_on_size(&response)?;
        self.receive(response.into_body(), size)
    }

    /// The size of the whole file. List, range and length of the answer must agree on it.
    fn agree_on_size(&mut self, response: &Response<Body>) -> Result<u64, HubError> {
        let start = self.received;
        let length = response.body().content_length().map(|length| length.saturating_add(start));
        let Some(size) = self.size.or(length) else {
            let text = "the hub does not say how large the file is";
            return Err(HubError::Answer(self.url.clone(), text.to_owned()));
        };
        let range = response.headers().get("Content-Range").filter(|_| response.status() == 206);
        let expected = format!("bytes {start}-{}/{size}", size.saturating_sub(1));
        if let Some(range) = range.and_then(|value| value.to_str().ok())
            && !expected.starts_with(range.trim_end_matches('*'))
        {
            return Err(self.discard(expected, range));
        }
        match length.filter(|length| *length != size) {
            Some(length) => Err(self.discard(format!("{size} bytes"), &length.to_string())),
            None => Ok(*self.size.insert(size)),
        }
    }

    /// Appends the body to the part.
    fn receive(&mut self, body: Body, size: u64) -> Result<(), HubError> {
        let (mut reader, mut buffer) = (body.into_reader(), vec![0; BUFFER_BYTES]);
        self.part.seek(SeekFrom::Start(self.received)).map_err(HubError::io(&self.path))?;
        loop {
            if self.received < size {
                (self.progress)(Event::Received(&self.remote.name, self.received, size));
            }
            let count = match reader.read(&mut buffer) {
                Ok(0) | Err(_) if self.received == size => return Ok(()),
                Ok(0) => return Err(self.broken("the connection was closed")),
                Ok(count) => count,
                Err(source) => return Err(self.broken(source)),
            };
            let missing = size - self.received;
            if count as u64 > missing {
                return Err(self.discard(format!("{size} bytes"), &format!("more than {size}")));
            }
            let written = self.part.write_all(&buffer[..count]);
            written.map_err(|error| HubError::io(&self.path)(explain(error, missing)))?;
            self.received += count as u64;
        }
    }

    fn clear(&mut self) -> Result<(), HubError> {
        self.received = 0;
        self.part.set_len(0).map_err(HubError::io(&self.path))
    }

    fn broken(&self, source: impl Into<Box<dyn Error + Send + Sync>>) -> HubError {
        HubError::Unreachable(self.url.clone(), source.into())
    }

    /// Empties the part, which is not the file that was expected, and says why.
    fn discard(&mut self, expected: String, found: &str) -> HubError {
        let (file, found) = (self.remote.name.clone(), found.to_owned());
        self.clear().err().unwrap_or(HubError::Content { file, expected, found })
    }
}

/// Says what to do when the disk is full.
fn explain(error: io::Error, missing: u64) -> io::Error {
    if !matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
        return error;
    }
    let todo = "make room and run the command again, or choose another disk with --out or HF_HOME";
    let text = format!("the disk is full, {missing} bytes are still to come; {todo}");
    io::Error::new(error.kind(), text)
}
