//! A folder that appears complete or not at all.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rayon::ThreadPoolBuilder;
use rayon::prelude::*;
use tempfile::TempDir;

use crate::ScenesError;

/// A temporary folder beside its final place, `.NAME.XXXXXX.part`. It is deleted if it is dropped
/// before [`finish`](Self::finish); a killed process leaves it behind.
pub(crate) struct PartialFolder {
    folder: TempDir,
    place: PathBuf,
}

impl PartialFolder {
    /// Creates a folder that is to become `place`.
    ///
    /// # Errors
    /// [`ScenesError::NotEmpty`] if there is something at `place`, or [`ScenesError::Io`].
    pub(crate) fn create(place: &Path) -> Result<Self, ScenesError> {
        let place = std::path::absolute(place).map_err(ScenesError::io(place))?;
        match fs::read_dir(&place).map(|mut entries| entries.next()) {
            Ok(None) => {}
            Ok(Some(_)) => return Err(ScenesError::NotEmpty { path: place }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(ScenesError::io(&place)(error)),
        }
        let (Some(parent), Some(name)) = (place.parent(), place.file_name()) else {
            return Err(ScenesError::NotEmpty { path: place });
        };
        fs::create_dir_all(parent).map_err(ScenesError::io(parent))?;
        let prefix = format!(".{}.", name.to_string_lossy());
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(".part");
        // Temporary folders are private by default; this one becomes an ordinary folder.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        let folder = builder.tempdir_in(parent).map_err(ScenesError::io(parent))?;
        Ok(Self { folder, place })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes everything in the folder to the disk, and moves the folder to its place.
    pub(crate) fn finish(self) -> Result<(), ScenesError> {
        match ThreadPoolBuilder::new().num_threads(SYNC_THREADS).build() {
            Ok(threads) => threads.install(|| sync(self.path()))?,
            // The shared threads do the same, more slowly.
            Err(_) => sync(self.path())?,
        }
        // There may be an empty folder at the place; this removes no other.
        match fs::remove_dir(&self.place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ScenesError::io(&self.place)(error));
            }
            _ => {}
        }
        fs::rename(self.path(), &self.place).map_err(ScenesError::io(&self.place))?;
        let _ = self.folder.keep(); // under its new name
        self.place.parent().map(sync_names);
        Ok(())
    }
}

/// How many files are written to the disk at the same time. File systems write many at once.
const SYNC_THREADS: usize = 16;

/// Writes everything in a folder to the disk.
fn sync(folder: &Path) -> Result<(), ScenesError> {
    let entries = fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let entries = entries.map_err(ScenesError::io(folder))?;
    entries.into_par_iter().map(|entry| entry.path()).try_for_each(|path| {
        if path.is_dir() {
            return sync(&path);
        }
        let file = OpenOptions::new().write(true).open(&path);
        file.and_then(|file| file.sync_all()).map_err(ScenesError::io(&path))
    })?;
    sync_names(folder);
    Ok(())
}

/// Writes the names in a folder to the disk, where the system can open folders.
fn sync_names(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}
