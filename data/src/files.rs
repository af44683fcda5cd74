//! Files and folders that appear whole or not at all.
//!
//! [`NewFile`] and [`NewFolder`] are written under a temporary name beside their target, flushed to
//! the disk, and renamed. The promise is the same for both:
//!
//! - After `finish` returns `Ok`, the target has its new content. A power cut does not undo that, on
//!   a disk that flushes when it is told to and a file system that can flush a folder.
//! - A process that is killed or a power cut before that leaves the old content or the new content,
//!   never a part. It may leave an entry `.mllmseg-*` beside the target, which may be deleted.
//! - After an error, the old content is still there and the temporary entry is gone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use rayon::ThreadPoolBuilder;
use rayon::prelude::*;
use tempfile::{Builder, NamedTempFile, TempDir};
use thiserror::Error;

/// A file or folder that could not be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its fields hold")]
pub enum FileError {
    /// The operating system refused.
    #[error(
        "{}: {source}; check that the path is right and may be used, and that the disk has space",
        path.display()
    )]
    Io { path: PathBuf, source: io::Error },
    /// Something is where a new folder should go.
    #[error("{}: expected a new or empty folder, found {found}; name another", path.display())]
    InTheWay { path: PathBuf, found: &'static str },
}

impl FileError {
    /// Adds the path to an [`io::Error`]: `file.sync_all().map_err(FileError::at(path))?`.
    pub fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// The bytes of a file, or one more than `limit` of a longer one: it is noticed, and no more is
/// read. The bound holds for pipes and growing files too.
///
/// # Errors
/// If the file cannot be opened or read.
pub fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    read.map_err(FileError::at(path))?;
    Ok(bytes)
}

/// Writes a whole file with [`NewFile`], and replaces what is there.
///
/// # Errors
/// As [`NewFile`], or the error of `write`; nothing is changed then.
pub fn write_file(
    path: &Path,
    write: impl FnOnce(&mut NewFile) -> io::Result<()>,
) -> Result<(), FileError> {
    let mut file = NewFile::create(path)?;
    write(&mut file).map_err(FileError::at(path))?;
    file.finish()
}

/// A file that is being written. Dropped before [`finish`](Self::finish), it leaves nothing.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    writer: BufWriter<NamedTempFile>,
}

impl NewFile {
    /// Begins the file that will be `path`, in a folder that is there already.
    ///
    /// # Errors
    /// If the path does not end in a file name, or its folder cannot be written to.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        if path.file_name().is_none() {
            let error = io::Error::other("the path does not end in a file name");
            return Err(FileError::at(path)(error));
        }
        let file = temporary(0o666).tempfile_in(parent(path)).map_err(FileError::at(path))?;
        Ok(Self { path: path.to_owned(), writer: BufWriter::new(file) })
    }

    /// Flushes the file and gives it its name, replacing a file that is there.
    ///
    /// # Errors
    /// If the disk is full, or the name cannot be taken.
    pub fn finish(self) -> Result<(), FileError> {
        let written = self.writer.into_inner().map_err(|error| error.into_error());
        let persisted = written.and_then(|file| {
            file.as_file().sync_all()?;
            file.persist(&self.path).map_err(|error| error.error)
        });
        persisted.map_err(FileError::at(&self.path))?;
        sync_names(parent(&self.path));
        Ok(())
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// A folder that is being filled. Dropped before [`finish`](Self::finish), it leaves nothing.
#[derive(Debug)]
pub struct NewFolder {
    path: PathBuf,
    filling: TempDir,
    /// Whether a folder that is there goes when this one is finished.
    replaces: bool,
}

impl NewFolder {
    /// Begins the folder that will be `path`; the folders above it are made.
    ///
    /// # Errors
    /// [`FileError::InTheWay`] unless `path` is free or an empty folder, [`FileError::Io`] if the
    /// folder above cannot be written to.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        let path = std::path::absolute(path).map_err(FileError::at(path))?;
        let in_the_way = |found| Err(FileError::InTheWay { path: path.clone(), found });
        match fs::read_dir(&path).map(|mut entries| entries.next().is_none()) {
            Ok(true) => {}
            Ok(false) => return in_the_way("a folder with files in it"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return in_the_way("a file");
            }
            Err(error) => return Err(FileError::at(&path)(error)),
        }
        Self::begin(path, false)
    }

    /// Begins the folder that will be `path`, in place of one that may be there. While one makes room
    /// for the other, there is none for a moment, never a part of one.
    ///
    /// # Errors
    /// [`FileError::Io`] if the folder above cannot be written to.
    pub fn replacing(path: &Path) -> Result<Self, FileError> {
        Self::begin(std::path::absolute(path).map_err(FileError::at(path))?, true)
    }

    fn begin(path: PathBuf, replaces: bool) -> Result<Self, FileError> {
        let parent = parent(&path);
        fs::create_dir_all(parent).map_err(FileError::at(parent))?;
        let filling = temporary(0o777).tempdir_in(parent).map_err(FileError::at(parent))?;
        Ok(Self { path, filling, replaces })
    }

    /// Where its files go until it is finished.
    pub fn path(&self) -> &Path {
        self.filling.path()
    }

    /// Flushes all files in it and gives the folder its name.
    ///
    /// # Errors
    /// If a file cannot be flushed, or something has come to the folder's place.
    pub fn finish(self) -> Result<(), FileError> {
        let mut files = Vec::new();
        sync_folders(self.path(), &mut files).map_err(FileError::at(self.path()))?;
        let sync = |file: &PathBuf| {
            let opened = OpenOptions::new().write(true).open(file);
            opened.and_then(|opened| opened.sync_all()).map_err(FileError::at(file))
        };
        let sync_all = || files.par_iter().try_for_each(sync);
        // File systems flush many files at once, whatever the number of cores.
        match ThreadPoolBuilder::new().num_threads(16).build() {
            Ok(threads) => threads.install(sync_all)?,
            Err(_) => sync_all()?,
        }
        let placed = match self.replaces {
            true => replace(&self.path, self.filling.path()),
            // An empty folder may be in the place; no other is removed.
            false => absent(fs::remove_dir(&self.path))
                .and_then(|()| fs::rename(self.filling.path(), &self.path)),
        };
        placed.map_err(FileError::at(&self.path))?;
        let _ = self.filling.keep(); // it has moved
        sync_names(parent(&self.path));
        Ok(())
    }
}

/// Gives the folder `new` the name `path`. What has the name is moved aside and removed afterwards; if the
/// new one cannot take its place, it comes back.
fn replace(path: &Path, new: &Path) -> io::Result<()> {
    let aside = temporary(0o777).tempdir_in(parent(path))?;
    let old = aside.path().join("replaced");
    absent(fs::rename(path, &old))?;
    let placed = fs::rename(new, path);
    if placed.is_err() && absent(fs::rename(&old, path)).is_err() {
        let _ = aside.keep(); // the old one is there, and nowhere else
    }
    placed
}

/// Success also where there was nothing.
fn absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A temporary entry with the rights of any new one; the process's mask still applies.
fn temporary(mode: u32) -> Builder<'static, 'static> {
    let mut builder = Builder::new();
    builder.prefix(".mllmseg-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    builder
}

/// The folder that `path` is in.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Flushes the names in `folder` and below, and lists the files.
fn sync_folders(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => sync_folders(&entry.path(), files)?,
            false => files.push(entry.path()),
        }
    }
    sync_names(folder);
    Ok(())
}

/// Flushes the names in a folder. Their files are whole either way, and not every system can do
/// this, so a failure is no error.
fn sync_names(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_replaced_stays() {
        let folder = TempDir::new().unwrap();
        let place = folder.path().join("model");
        fs::create_dir(&place).unwrap();
        fs::write(place.join("weights"), "old").unwrap();
        replace(&place, &folder.path().join("not there")).unwrap_err();
        assert_eq!(fs::read(place.join("weights")).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
