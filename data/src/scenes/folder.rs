//! A folder that appears as a whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::ScenesError;

/// A folder that is being filled under a name of its own, beside the place that it will take. It is
/// deleted if it is dropped before it took its place; what a killed process leaves is
/// `.NAME.PID.part`.
pub(super) struct PartialFolder {
    path: PathBuf,
    place: PathBuf,
    kept: bool,
}

impl PartialFolder {
    /// Begins a folder that is to become `place`.
    ///
    /// # Errors
    /// [`ScenesError::NotEmpty`] if something is there, or [`ScenesError::Io`].
    pub(super) fn begin(place: &Path) -> Result<Self, ScenesError> {
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
        let name = format!(".{}.{}.part", name.to_string_lossy(), std::process::id());
        let path = parent.join(name);
        fs::create_dir(&path).map_err(ScenesError::io(&path))?;
        Ok(Self { path, place, kept: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the folder its place. Its files must be on the disk already.
    pub(super) fn finish(mut self) -> Result<PathBuf, ScenesError> {
        // An empty folder may be in the place; this removes no other.
        match fs::remove_dir(&self.place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ScenesError::io(&self.place)(error));
            }
            _ => {}
        }
        fs::rename(&self.path, &self.place).map_err(ScenesError::io(&self.place))?;
        self.kept = true;
        if let Some(parent) = self.place.parent() {
            sync_folder(parent);
        }
        Ok(self.place.clone())
    }
}

impl Drop for PartialFolder {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Brings the names in a folder to the disk, where the system lets folders be opened.
pub(super) fn sync_folder(path: &Path) {
    if let Ok(folder) = File::open(path) {
        let _ = folder.sync_all();
    }
}

/// How many files are brought to the disk at a time. One after the other each would wait for the
/// disk; file systems write down many at once.
const SYNC_THREADS: usize = 16;

/// Brings the files numbered 1 to `count` to the disk.
pub(super) fn sync_files(
    count: u64,
    path: impl Fn(u64) -> PathBuf + Sync,
) -> Result<(), ScenesError> {
    let next = AtomicU64::new(1);
    let work = || loop {
        let id = next.fetch_add(1, Ordering::Relaxed);
        if id > count {
            return Ok(());
        }
        let path = path(id);
        let file = OpenOptions::new().write(true).open(&path);
        file.and_then(|file| file.sync_all()).map_err(ScenesError::io(&path))?;
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..SYNC_THREADS).map(|_| scope.spawn(work)).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Result<(), ScenesError>>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().try_for_each(join)
    })
}
