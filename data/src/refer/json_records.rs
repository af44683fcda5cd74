//! A large JSON file, one record at a time.
//!
//! `serde_json` parses from a reader, so the file is never in memory as a whole. A [`Meter`] counts
//! what the reader hands over, so that a single value cannot fill the memory either.

use std::cell::{Cell, Ref, RefCell};
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::marker::PhantomData;
use std::path::Path;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use serde_json::de::IoRead;
use serde_json::error::Category;

use super::ReferError;
use crate::files::FileError;

/// Bytes read at once.
const CHUNK: usize = 1 << 20;
/// The longest record; the longest published one is far below 1 MB.
const MAX_RECORD: u64 = 64 << 20;
/// The longest value between records: `serde_json` keeps a byte for each open bracket of a value
/// that it skips.
const MAX_SKIPPED: u64 = 256 << 20;

/// Calls `visit` with each record of a file that is one JSON list; `list` is what messages call it.
///
/// # Errors
/// [`ReferError::File`], or [`ReferError::Content`] if the file is cut short or no list, if a record is
/// no `T`, or if `visit` returns an error.
pub fn for_each_record<T: DeserializeOwned>(
    path: &Path,
    list: &'static str,
    visit: impl FnMut(T) -> Result<(), String>,
) -> Result<(), ReferError> {
    let meter = Meter::default();
    parse(path, &meter, |json| Records::new(&meter, list, visit).deserialize(json))
}

/// Parses a file as one value.
pub(super) fn parse<'m, T>(
    path: &Path,
    meter: &'m Meter,
    read: impl FnOnce(&mut serde_json::Deserializer<IoRead<Metered<'m>>>) -> serde_json::Result<T>,
) -> Result<T, ReferError> {
    let file = File::open(path).map_err(FileError::at(path))?;
    let file = BufReader::with_capacity(CHUNK, file);
    let mut json = serde_json::Deserializer::from_reader(Metered { file, meter });
    meter.between("the file");
    let read = read(&mut json).and_then(|value| {
        meter.between("the file");
        json.end().map(|()| value)
    });
    read.map_err(|error| meter.error(path, error))
}

/// The message of `serde_json` without its own place.
pub(super) fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(&*text, |(detail, _)| detail).to_owned()
}

/// How far a file is read, and which value is read now.
#[derive(Default)]
pub(super) struct Meter {
    read: Cell<u64>,
    place: Cell<(&'static str, Option<u64>)>,
    /// The byte at which the value must have ended, and the limit of its length.
    end: Cell<u64>,
    limit: Cell<u64>,
    /// What is read of the record so far, with the comma and white space before it.
    record: RefCell<Vec<u8>>,
}

impl Meter {
    fn start(&self, place: &'static str, index: Option<u64>, limit: u64) {
        self.place.set((place, index));
        self.end.set(self.read.get() + limit);
        self.limit.set(limit);
        self.record.borrow_mut().clear();
    }

    /// The bytes of the record that was just read; `serde_json` reads none beyond the end of a dict.
    pub(super) fn record(&self) -> Ref<'_, [u8]> {
        Ref::map(self.record.borrow(), |bytes| {
            let start = bytes.iter().position(|byte| !b", \n\r\t".contains(byte)).unwrap_or(0);
            &bytes[start..]
        })
    }

    /// To be called before what is no record of a list.
    pub(super) fn between(&self, place: &'static str) {
        self.start(place, None, MAX_SKIPPED);
    }

    fn error(&self, path: &Path, error: serde_json::Error) -> ReferError {
        let detail = match error.classify() {
            Category::Io if self.read.get() >= self.end.get() => {
                format!("one value longer than {} MiB", self.limit.get() >> 20)
            }
            Category::Io => return FileError::at(path)(error.into()).into(),
            Category::Eof => "the file is cut short; download it again".to_owned(),
            Category::Syntax | Category::Data => message(&error),
        };
        let place = match self.place.get() {
            (list, Some(index)) => format!("{list}[{index}]"),
            (place, None) => place.to_owned(),
        };
        ReferError::content(path, format!("in {place}: {detail} (byte {})", self.read.get()))
    }
}

pub(super) struct Metered<'m> {
    file: BufReader<File>,
    meter: &'m Meter,
}

impl Read for Metered<'_> {
    /// One byte at a time: `serde_json` asks for no more.
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let meter = self.meter;
        let read = meter.read.get();
        if read >= meter.end.get() {
            return Err(io::Error::other("the value is too long"));
        }
        let Some((&byte, slot)) = self.file.fill_buf()?.first().zip(buffer.first_mut()) else {
            return Ok(0);
        };
        *slot = byte;
        self.file.consume(1);
        meter.read.set(read + 1);
        if meter.limit.get() == MAX_RECORD {
            meter.record.borrow_mut().push(byte);
        }
        Ok(1)
    }
}

/// A list whose records go to `visit` one by one.
pub(super) struct Records<'m, T, F> {
    meter: &'m Meter,
    list: &'static str,
    visit: F,
    record: PhantomData<T>,
}

impl<'m, T, F: FnMut(T) -> Result<(), String>> Records<'m, T, F> {
    pub(super) fn new(meter: &'m Meter, list: &'static str, visit: F) -> Self {
        Self { meter, list, visit, record: PhantomData }
    }
}

impl<'de, T: DeserializeOwned, F: FnMut(T) -> Result<(), String>> DeserializeSeed<'de>
    for Records<'_, T, F>
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: DeserializeOwned, F: FnMut(T) -> Result<(), String>> Visitor<'de>
    for Records<'_, T, F>
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of {}", self.list)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut records: A) -> Result<(), A::Error> {
        for index in 0.. {
            self.meter.start(self.list, Some(index), MAX_RECORD);
            let Some(record) = records.next_element()? else { break };
            (self.visit)(record).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}
