//! The folder of a checkpoint: on the disk, or wherever else a program holds its files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::read::{read_text, text_of};

/// Files that are not on the disk, by their names. They are read in parts, so that none has to be in
/// memory as a whole.
pub trait Files: std::fmt::Debug + Send + Sync {
    /// Their names.
    fn names(&self) -> BTreeSet<String>;

    /// The number of bytes of one.
    ///
    /// # Errors
    /// Without such a file.
    fn length(&self, name: &str) -> io::Result<u64>;

    /// `length` bytes of one from `start` on.
    ///
    /// # Errors
    /// Without such a file or so many bytes.
    fn read(&self, name: &str, start: u64, length: usize) -> io::Result<Vec<u8>>;

    /// All bytes of one that has no more than `most`.
    ///
    /// # Errors
    /// Without such a file, and where it is larger.
    fn read_whole(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        let found = self.length(name)?;
        if found > most {
            return Err(io::Error::other(format!("expected at most {most} bytes, found {found}")));
        }
        self.read(name, 0, found as usize)
    }
}

impl Files for BTreeMap<String, Vec<u8>> {
    fn names(&self) -> BTreeSet<String> {
        self.keys().cloned().collect()
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        Ok(self.get(name).ok_or(io::ErrorKind::NotFound)?.len() as u64)
    }

    fn read(&self, name: &str, start: u64, length: usize) -> io::Result<Vec<u8>> {
        let file = self.get(name).ok_or(io::ErrorKind::NotFound)?;
        let rest = usize::try_from(start).ok().and_then(|start| file.get(start..));
        let part = rest.and_then(|rest| rest.get(..length)).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(part.to_vec())
    }
}

/// A folder of files.
#[derive(Debug, Clone)]
pub enum Folder {
    /// On the disk.
    Disk(PathBuf),
    /// Files from elsewhere. The name is for messages.
    Held(PathBuf, Arc<dyn Files>),
}

impl Folder {
    /// Where it is, or what it is called.
    pub fn path(&self) -> &Path {
        match self {
            Self::Disk(path) | Self::Held(path, _) => path,
        }
    }

    /// The names in it; none if it cannot be read.
    pub fn names(&self) -> BTreeSet<String> {
        match self {
            Self::Disk(path) => {
                let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
                entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
            }
            Self::Held(_, files) => files.names(),
        }
    }

    /// One of its files, which need not be there.
    pub fn file(&self, name: &str) -> Source {
        let path = self.path().join(name);
        match self {
            Self::Disk(_) => Source::Disk(path),
            Self::Held(_, files) => Source::Held(path, name.to_string(), files.clone()),
        }
    }
}

/// A file of a [`Folder`].
#[derive(Debug, Clone)]
pub enum Source {
    /// On the disk.
    Disk(PathBuf),
    /// Its path for messages, its name, and the files that it is one of.
    Held(PathBuf, String, Arc<dyn Files>),
}

impl Source {
    /// Where it is, or what it is called.
    pub fn path(&self) -> &Path {
        match self {
            Self::Disk(path) | Self::Held(path, ..) => path,
        }
    }

    /// The number of its bytes.
    ///
    /// # Errors
    /// Without such a file, also where there is a folder of its name.
    pub fn length(&self) -> io::Result<u64> {
        match self {
            Self::Disk(path) => {
                let found = std::fs::metadata(path)?;
                found.is_file().then_some(found.len()).ok_or(io::ErrorKind::IsADirectory.into())
            }
            Self::Held(_, name, files) => files.length(name),
        }
    }

    /// `length` bytes from `start` on.
    ///
    /// # Errors
    /// Without such a file or so many bytes.
    pub fn read(&self, start: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.read_into(start, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills `place` with the bytes from `start` on.
    ///
    /// # Errors
    /// Without such a file or so many bytes.
    pub fn read_into(&self, start: u64, place: &mut [u8]) -> io::Result<()> {
        const PART: usize = 4 << 20; // of a thread
        match self {
            Self::Disk(path) => {
                place.par_chunks_mut(PART).enumerate().try_for_each(|(index, part)| {
                    let mut file = File::open(path)?;
                    file.seek(SeekFrom::Start(start + (index * PART) as u64))?;
                    file.read_exact(part)
                })
            }
            Self::Held(_, name, files) => {
                let bytes = files.read(name, start, place.len())?;
                if bytes.len() != place.len() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                place.copy_from_slice(&bytes);
                Ok(())
            }
        }
    }

    /// The text of a file of at most `most` bytes, without a byte-order mark.
    ///
    /// # Errors
    /// Without such a file, and where it is larger or not UTF-8.
    pub fn text(&self, most: u64) -> io::Result<String> {
        match self {
            Self::Disk(path) => read_text(path, most),
            Self::Held(_, name, files) => text_of(files.read_whole(name, most)?),
        }
    }
}
