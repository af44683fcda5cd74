//! Progress that survives a kill: `OUT.json.part`, one line per answer, appended image by image.
//!
//! Its first line says how the answers are made. A line is written in one call and counts when it
//! is whole, so a torn last one is dropped. It reaches the disk every few seconds: a power cut
//! costs those. At the end the lines become the list `OUT.json`, which appears whole, and the
//! journal goes away.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::files::write_whole;
use super::prediction::read_predictions;
use super::score::{Batch, prediction_error};
use super::summary::Tally;
use super::{EvalError, MadeBy, Prediction, Selection};

/// How much a power cut may cost.
const SYNC_EVERY: Duration = Duration::from_secs(5);
/// The longest line, far above any mask's.
const MAX_LINE: u64 = 64 << 20;

/// An open journal.
pub(super) struct Journal {
    predictions: PathBuf,
    path: PathBuf,
    file: File,
    synced: Instant,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Header {
    mllmseg: MadeBy,
}

/// Where earlier answers are.
enum Earlier {
    Journal,
    List,
}

impl Journal {
    /// A new journal for a predictions file.
    ///
    /// # Errors
    /// [`EvalError::Unfinished`] if there is one already.
    pub(super) fn begin(predictions: &Path, label: &MadeBy) -> Result<Self, EvalError> {
        let path = journal_path(predictions);
        if fs::metadata(&path).is_ok_and(|there| there.len() > 0) {
            return Err(EvalError::Unfinished { path });
        }
        write_whole(&path, |file| write_header(file, &path, label))?;
        Self::open(predictions, path)
    }

    /// Goes on with the journal of an interrupted run, or with the list of one that had a limit,
    /// and adds its answers to `tally`. Returns the indices of the images that are done.
    ///
    /// An image counts as done when all its expressions are answered; otherwise it is asked again
    /// as a whole, so that each answer is computed beside the same others as without a break.
    ///
    /// # Errors
    /// [`EvalError::OtherRun`] if those answers were made otherwise.
    pub(super) fn resume(
        predictions: &Path,
        label: &MadeBy,
        selection: &Selection,
        tally: &mut Tally,
    ) -> Result<(Self, HashSet<usize>), EvalError> {
        let path = journal_path(predictions);
        let earlier = if path.exists() {
            Earlier::Journal
        } else if predictions.exists() {
            Earlier::List
        } else {
            return Ok((Self::begin(predictions, label)?, HashSet::new()));
        };
        let source = match earlier {
            Earlier::Journal => path.as_path(),
            Earlier::List => predictions,
        };
        let done = done_items(selection, source, &earlier, label)?;
        let mut batch = Batch::new(selection, source);
        write_whole(&path, |file| {
            write_header(file, &path, label)?;
            earlier.for_each(source, |entry| {
                let place = selection.find(entry.ref_id, entry.sent_id).flatten();
                let Some(place) = place.filter(|place| done.contains(&place.item)) else {
                    return Ok(());
                };
                let entry = Prediction { made_by: None, ..entry };
                write_line(file, &path, &entry)?;
                batch.push(place, entry, tally)
            })
        })?;
        batch.flush(tally)?;
        Ok((Self::open(predictions, path)?, done))
    }

    fn open(predictions: &Path, path: PathBuf) -> Result<Self, EvalError> {
        let file = File::options().append(true).open(&path);
        let file = file.map_err(EvalError::io(&path))?;
        // Where a file system has no locks, do without.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            let error = std::io::Error::other("another run is writing this file");
            return Err(EvalError::io(&path)(error));
        }
        Ok(Self { predictions: predictions.to_owned(), path, file, synced: Instant::now() })
    }

    /// Keeps the answers of one image.
    pub(super) fn append(&mut self, entries: &[Prediction]) -> Result<(), EvalError> {
        let mut lines = Vec::new();
        for entry in entries {
            write_line(&mut lines, &self.path, entry)?;
        }
        self.file.write_all(&lines).map_err(EvalError::io(&self.path))?;
        if self.synced.elapsed() >= SYNC_EVERY {
            self.file.sync_data().map_err(EvalError::io(&self.path))?;
            self.synced = Instant::now();
        }
        Ok(())
    }

    /// Turns the journal into the predictions file.
    pub(super) fn finish(self) -> Result<(), EvalError> {
        let mut lines = Lines::open(&self.path)?;
        let label = lines.next_line()?.unwrap_or_default();
        let label = label.trim_ascii_end();
        write_whole(&self.predictions, |file| {
            let mut put = |bytes: &[u8]| file.write_all(bytes).map_err(EvalError::io(&self.path));
            put(b"[")?;
            let mut first = true;
            while let Some(line) = lines.next_line()? {
                let line = line.trim_ascii();
                put(if first { b"\n" } else { b",\n" })?;
                match (first, label.strip_suffix(b"}"), line.strip_prefix(b"{")) {
                    (true, Some(label), Some(entry)) => {
                        put(label)?;
                        put(b",")?;
                        put(entry)?;
                    }
                    _ => put(line)?,
                }
                first = false;
            }
            put(b"\n]\n")
        })?;
        drop(self.file);
        fs::remove_file(&self.path).map_err(EvalError::io(&self.path))
    }
}

/// The images whose expressions are all answered.
fn done_items(
    selection: &Selection,
    source: &Path,
    earlier: &Earlier,
    label: &MadeBy,
) -> Result<HashSet<usize>, EvalError> {
    let mut seen = HashSet::new();
    let mut answered: HashMap<usize, usize> = HashMap::new();
    let mut labelled = false;
    let same_run = |found: &MadeBy| match label.difference(found) {
        None => Ok(()),
        Some((field, expected, found)) => {
            Err(EvalError::OtherRun { path: source.to_owned(), field, expected, found })
        }
    };
    if let Earlier::Journal = earlier
        && let Some(found) = Lines::open(source)?.header()?
    {
        same_run(&found)?;
        labelled = true;
    }
    earlier.for_each(source, |entry| {
        if let Some(found) = &entry.made_by {
            same_run(found)?;
            labelled = true;
        }
        if !labelled {
            let detail = "expected a file written by `mllmseg eval`, which says how it was made in \
                          its first entry; choose another --predictions file";
            return Err(prediction_error(source, &entry, detail.into()));
        }
        if !seen.insert((entry.ref_id, entry.sent_id)) {
            let detail = "a second entry for this expression; delete this file and begin anew";
            return Err(prediction_error(source, &entry, detail.into()));
        }
        match selection.find(entry.ref_id, entry.sent_id) {
            Some(Some(place)) => *answered.entry(place.item).or_default() += 1,
            Some(None) => {} // beyond the limit, or of an image that is missing now
            None => {
                let detail = "the data set has no such expression; is it the same one?";
                return Err(prediction_error(source, &entry, detail.into()));
            }
        }
        Ok(())
    })?;
    let items = selection.items().iter().enumerate();
    let done = items.filter(|(index, item)| answered.get(index) == Some(&item.expressions.len()));
    Ok(done.map(|(index, _)| index).collect())
}

impl Earlier {
    fn for_each(
        &self,
        source: &Path,
        mut visit: impl FnMut(Prediction) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        match self {
            Self::List => read_predictions(source, visit),
            Self::Journal => {
                let mut lines = Lines::open(source)?;
                if lines.header()?.is_none() {
                    return Ok(());
                }
                while let Some(entry) = lines.entry()? {
                    visit(entry)?;
                }
                Ok(())
            }
        }
    }
}

/// The whole lines of a journal.
struct Lines<'p> {
    path: &'p Path,
    file: BufReader<File>,
    line: usize,
}

impl<'p> Lines<'p> {
    fn open(path: &'p Path) -> Result<Self, EvalError> {
        let file = File::open(path).map_err(EvalError::io(path))?;
        Ok(Self { path, file: BufReader::new(file), line: 0 })
    }

    /// The next line with its end; `None` at the end of the file or before a torn line.
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, EvalError> {
        let mut line = Vec::new();
        let mut limited = (&mut self.file).take(MAX_LINE);
        limited.read_until(b'\n', &mut line).map_err(EvalError::io(self.path))?;
        self.line += 1;
        if line.len() as u64 == MAX_LINE {
            return Err(self.error(format!("longer than {MAX_LINE} bytes")));
        }
        Ok(line.ends_with(b"\n").then_some(line))
    }

    fn header(&mut self) -> Result<Option<MadeBy>, EvalError> {
        Ok(self.parse::<Header>()?.map(|header| header.mllmseg))
    }

    fn entry(&mut self) -> Result<Option<Prediction>, EvalError> {
        self.parse()
    }

    /// The next line's value. A last line that makes no sense is one that a power cut tore.
    fn parse<T: serde::de::DeserializeOwned>(&mut self) -> Result<Option<T>, EvalError> {
        let Some(line) = self.next_line()? else {
            return Ok(None);
        };
        match serde_json::from_slice(&line) {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                let last = self.file.fill_buf().map_err(EvalError::io(self.path))?;
                if last.is_empty() {
                    return Ok(None);
                }
                Err(self.error(error.to_string()))
            }
        }
    }

    fn error(&self, detail: String) -> EvalError {
        EvalError::Journal { path: self.path.to_owned(), line: self.line, detail }
    }
}

fn write_header(file: &mut impl Write, path: &Path, label: &MadeBy) -> Result<(), EvalError> {
    let header = Header { mllmseg: label.clone() };
    write_json_line(file, path, &header)
}

fn write_line(file: &mut impl Write, path: &Path, entry: &Prediction) -> Result<(), EvalError> {
    write_json_line(file, path, entry)
}

fn write_json_line(
    file: &mut impl Write,
    path: &Path,
    value: &impl serde::Serialize,
) -> Result<(), EvalError> {
    serde_json::to_writer(&mut *file, value)
        .map_err(std::io::Error::from)
        .and_then(|()| file.write_all(b"\n"))
        .map_err(EvalError::io(path))
}

/// `OUT.json.part` for `OUT.json`.
pub(super) fn journal_path(predictions: &Path) -> PathBuf {
    let mut name = predictions.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}
