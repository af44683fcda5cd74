//! PNG files that appear whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use image::{DynamicImage, ImageFormat};

/// Why a PNG file was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PngError {
    /// The picture could not be encoded.
    #[error("{}: the picture cannot be stored as PNG ({source}); check that it has pixels", path.display())]
    Encode {
        /// The file that was to be written.
        path: PathBuf,
        /// The encoder's reason.
        source: image::ImageError,
    },
    /// The file could not be written.
    #[error(
        "{}: cannot be written ({source}); check that the folder exists, may be written to and has space",
        path.display()
    )]
    Write {
        /// The file that was to be written.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
}

/// Writes `image` as PNG to `path`, replacing a file that is there.
///
/// The bytes go to a temporary file in the same folder, are flushed to the disk, and only then take the name `path`. A
/// process that is killed leaves the old file or the new one, and at worst a `.tmp` file beside it; so does a power cut on
/// a disk that flushes when told to. On failure the temporary file is removed.
///
/// # Errors
/// [`PngError`], naming `path`.
pub fn write_png_atomic(path: impl AsRef<Path>, image: &DynamicImage) -> Result<(), PngError> {
    let path = path.as_ref();
    let mut bytes = Vec::new();
    image
        .write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)
        .map_err(|source| PngError::Encode { path: path.into(), source })?;
    replace_file(path, &bytes).map_err(|source| PngError::Write { path: path.into(), source })
}

fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary_beside(path)?;
    let written = write_through(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to report; the file may not even have been created.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync_folder(path);
    Ok(())
}

/// A name in the folder of `path` that no other thread or process uses.
fn temporary_beside(path: &Path) -> io::Result<PathBuf> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the path does not end in a file name")
    })?;
    let mut temporary = OsString::from(".");
    temporary.push(name);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    temporary.push(format!(".{}.{count}.tmp", std::process::id()));
    Ok(path.with_file_name(temporary))
}

fn write_through(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Flushes the new name itself. The file is whole either way, and not every system can do this, so failure is no error.
fn sync_folder(path: &Path) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
        let _ = folder.sync_all();
    }
}
