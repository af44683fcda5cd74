//! Which image files were found whole: an unchanged file is not read again.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{ImageInfo, ReferDataset, ReferError};
use crate::files::{FileError, read_bounded, write_file};
use crate::image::check_image;

/// The largest file of earlier results.
const MAX_BYTES: u64 = 1 << 30;

/// Results of earlier checks, kept in a file.
#[derive(Debug)]
pub struct CheckedImages {
    file: PathBuf,
    whole: HashMap<PathBuf, Seen>,
}

/// A file as it was when it was found whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    bytes: u64,
    /// When it was last changed, in nanoseconds.
    changed: u64,
    width: u32,
    height: u32,
}

impl CheckedImages {
    /// What `file` holds of earlier checks; nothing if it is not there or damaged.
    pub fn open(file: &Path) -> Self {
        let bytes = read_bounded(file, MAX_BYTES).unwrap_or_default();
        let whole = serde_json::from_slice(&bytes).unwrap_or_default();
        Self { file: file.to_owned(), whole }
    }

    /// Keeps the results for later.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self) -> Result<(), FileError> {
        let json = |file: &mut _| serde_json::to_writer(file, &self.whole).map_err(io::Error::from);
        write_file(&self.file, |file| json(&mut *file).and_then(|()| file.flush()))
    }

    /// Reads the headers of images and looks for the ends of their files, on all cores; `progress` is called with the
    /// number of images that are done. Returns what is wrong, by the index of the image.
    pub fn check(
        &mut self,
        data: &ReferDataset,
        images: &[&ImageInfo],
        progress: &(dyn Fn(usize) + Sync),
    ) -> Vec<(usize, ReferError)> {
        let done = AtomicUsize::new(0);
        let whole = &self.whole;
        let check = |image: &&ImageInfo| {
            let found = check(data, image, whole);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
            found
        };
        let found: Vec<_> = images.par_iter().map(check).collect();
        let mut wrong = Vec::new();
        for (index, found) in found.into_iter().enumerate() {
            match found {
                Ok((path, seen)) => drop(self.whole.insert(path, seen)),
                Err(error) => wrong.push((index, error)),
            }
        }
        wrong
    }
}

fn check(
    data: &ReferDataset,
    image: &ImageInfo,
    whole: &HashMap<PathBuf, Seen>,
) -> Result<(PathBuf, Seen), ReferError> {
    let path = data.image_path(image)?;
    let about = path.metadata().map_err(FileError::at(&path))?;
    // A file system without such times has none of them, and size must do.
    let changed = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let changed = changed.map_or(0, |time| time.as_nanos() as u64);
    let seen = match whole.get(&path) {
        Some(seen) if (seen.bytes, seen.changed) == (about.len(), changed) => *seen,
        _ => {
            let (width, height) = check_image(&path, data.dataset().orientation())?;
            Seen { bytes: about.len(), changed, width, height }
        }
    };
    image.check_size((seen.width, seen.height))?;
    Ok((path, seen))
}
