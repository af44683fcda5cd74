//! Answers that survive a kill: `OUT.part`, JSON lines that grow image by image and become `OUT`.
//!
//! The answers of an image are appended in one call. A line counts when it is whole, so one that a
//! kill tore is dropped on reading. The file is flushed to the disk every few seconds: a power cut
//! costs those.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mllmseg_data::files::{FileError, NewFile};

use super::prediction::{LastLine, read_lines, read_predictions, write_line};
use super::results::Results;
use super::score::{Batch, prediction_error};
use super::{EvalError, MadeBy, Prediction, Selection};

/// How much a power cut may cost.
const SYNC_EVERY: Duration = Duration::from_secs(5);

/// The answers of a run that is not over.
pub(super) struct Journal {
    predictions: PathBuf,
    path: PathBuf,
    file: File,
    /// For the first entry, as long as there is none.
    label: Option<MadeBy>,
    synced: Instant,
}

impl Journal {
    /// A new journal for a predictions file.
    ///
    /// # Errors
    /// [`EvalError::Unfinished`] if there is one already.
    pub(super) fn begin(predictions: &Path, label: MadeBy) -> Result<Self, EvalError> {
        let path = journal_path(predictions);
        if fs::metadata(&path).is_ok_and(|there| there.len() > 0) {
            return Err(EvalError::Unfinished(path));
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(FileError::at(folder))?;
        }
        let file = open(&path)?;
        let predictions = predictions.to_owned();
        Ok(Self { predictions, path, file, label: Some(label), synced: Instant::now() })
    }

    /// Continues the journal of an interrupted run, or the file of a run that had a limit, and adds
    /// its answers to `results`. Returns the indices of the images that are done.
    ///
    /// An image counts as done when all its expressions are answered. Otherwise it is asked again
    /// as a whole, so that each answer is computed beside the same others as without a break.
    ///
    /// # Errors
    /// [`EvalError::OtherRun`] if those answers were made otherwise.
    pub(super) fn resume(
        predictions: &Path,
        label: MadeBy,
        selection: &Selection,
        results: &mut Results,
    ) -> Result<(Self, HashSet<usize>), EvalError> {
        let path = journal_path(predictions);
        let earlier = match (path.exists(), predictions.exists()) {
            (true, _) => path.as_path(),
            (false, true) => predictions,
            (false, false) => return Ok((Self::begin(predictions, label)?, HashSet::new())),
        };
        let earlier_file = open(earlier)?; // locked until the kept answers have its place
        let done = done_items(selection, earlier, predictions, &label)?;
        let mut batch = Batch::new(selection, earlier);
        let mut kept = NewFile::create(&path)?;
        let mut label = Some(label);
        read_earlier(earlier, predictions, |entry| {
            let place = selection.find(entry.ref_id, entry.sent_id).flatten();
            let Some(place) = place.filter(|place| done.contains(&place.item)) else {
                return Ok(());
            };
            let entry = Prediction { made_by: label.take(), ..entry };
            write_line(&mut kept, &entry).map_err(FileError::at(&path))?;
            batch.push(place, entry, results)
        })?;
        batch.flush(results)?;
        kept.finish()?;
        let file = open(&path)?;
        drop(earlier_file);
        let predictions = predictions.to_owned();
        Ok((Self { predictions, path, file, label, synced: Instant::now() }, done))
    }

    /// Keeps the answers of one image.
    pub(super) fn append(&mut self, mut entries: Vec<Prediction>) -> Result<(), EvalError> {
        if let Some(first) = entries.first_mut() {
            first.made_by = self.label.take();
        }
        let mut lines = Vec::new();
        let mut written = entries.iter().try_for_each(|entry| write_line(&mut lines, entry));
        written = written.and_then(|()| self.file.write_all(&lines));
        if self.synced.elapsed() >= SYNC_EVERY {
            written = written.and_then(|()| self.file.sync_data());
            self.synced = Instant::now();
        }
        Ok(written.map_err(FileError::at(&self.path))?)
    }

    /// Turns the journal into the predictions file.
    pub(super) fn finish(self) -> Result<(), EvalError> {
        let moved = self.file.sync_all().and_then(|()| fs::rename(&self.path, &self.predictions));
        Ok(moved.map_err(FileError::at(&self.predictions))?)
    }
}

/// Opens a file for appending and keeps other runs from it.
fn open(path: &Path) -> Result<File, EvalError> {
    let file = File::options().create(true).append(true).open(path).map_err(FileError::at(path))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(EvalError::Busy(path.to_owned())),
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file), // a file system may have no locks
    }
}

/// Reads a journal, whose last line may be torn, or the finished predictions.
fn read_earlier(
    earlier: &Path,
    predictions: &Path,
    visit: impl FnMut(Prediction) -> Result<(), EvalError>,
) -> Result<(), EvalError> {
    match earlier == predictions {
        true => read_predictions(earlier, visit),
        false => read_lines(earlier, LastLine::MayBeTorn, visit),
    }
}

/// The images whose expressions are all answered.
fn done_items(
    selection: &Selection,
    earlier: &Path,
    predictions: &Path,
    label: &MadeBy,
) -> Result<HashSet<usize>, EvalError> {
    let mut seen = HashSet::new();
    let mut answered: HashMap<usize, usize> = HashMap::new();
    let mut labelled = false;
    read_earlier(earlier, predictions, |entry| {
        if let Some(found) = &entry.made_by {
            label.check_same(found, earlier)?;
            labelled = true;
        }
        let place = selection.find(entry.ref_id, entry.sent_id);
        let complaint = if !labelled {
            "expected a file written by `mllmseg eval`, which says in its first entry how it was \
             made; choose another --predictions file"
        } else if !seen.insert((entry.ref_id, entry.sent_id)) {
            "a second entry for this expression; delete this file and begin again"
        } else if place.is_none() {
            "the data set has no such expression; is it the same one?"
        } else {
            // Without a place it is beyond the limit, or of an image that is missing now.
            if let Some(place) = place.flatten() {
                *answered.entry(place.item).or_default() += 1;
            }
            return Ok(());
        };
        Err(prediction_error(earlier, &entry, complaint.into()))
    })?;
    let items = selection.items.iter().enumerate();
    let done = items.filter(|(index, item)| answered.get(index) == Some(&item.expressions.len()));
    Ok(done.map(|(index, _)| index).collect())
}

/// `OUT.part` for `OUT`.
fn journal_path(predictions: &Path) -> PathBuf {
    let mut name = predictions.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}
