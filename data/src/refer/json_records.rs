//! A large JSON file, one record at a time.
//!
//! The published `instances.json` is a dict of three long lists. Reading it through one
//! deserializer from a reader is slow (byte by byte), from a slice it needs the whole file in
//! memory, and from a memory map it dies with a signal if the file shrinks meanwhile. So: a fixed
//! buffer slides over the file, the end of each record is found by counting brackets outside
//! strings, and each record is parsed from its slice, borrowing from the buffer. Memory is the
//! buffer, whatever the size of the file.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use super::ReferError;

/// Bytes read at once.
const CHUNK: usize = 1 << 20;
/// The longest record; the longest published one is far below 1 MB.
const MAX_RECORD: usize = 64 << 20;
/// The longest key at the top of a file.
const MAX_KEY: usize = 256;
/// The deepest nesting, as in `serde_json`.
const MAX_DEPTH: u32 = 128;

/// Calls `visit` with the bytes of each record of a file that is one JSON list; `list` is what
/// messages call it. The file is never in memory as a whole.
///
/// # Errors
/// If the file cannot be read, is cut short or is no list, and what `visit` says is wrong with a
/// record: [`ReferError::Json`] with its place.
pub fn for_each_record(
    path: &Path,
    list: &str,
    visit: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), ReferError> {
    let mut file = JsonRecords::open(path)?;
    file.for_each_in_list(list, visit)?;
    file.expect_end()
}

/// A JSON file that is read record by record.
pub(super) struct JsonRecords<'p> {
    path: &'p Path,
    file: File,
    buffer: Vec<u8>,
    /// The part of `buffer` that is read and not yet used.
    ready: Range<usize>,
    /// Where `buffer` begins in the file.
    base: u64,
}

impl<'p> JsonRecords<'p> {
    pub(super) fn open(path: &'p Path) -> Result<Self, ReferError> {
        let file = File::open(path).map_err(ReferError::io(path))?;
        Ok(Self { path, file, buffer: vec![0; 2 * CHUNK], ready: 0..0, base: 0 })
    }

    /// Calls `visit` with each key of the dict at the top of the file; `visit` reads the key's
    /// value by [`for_each_in_list`](Self::for_each_in_list) or [`skip_value`](Self::skip_value).
    pub(super) fn for_each_key(
        &mut self,
        mut visit: impl FnMut(&mut Self, &str) -> Result<(), ReferError>,
    ) -> Result<(), ReferError> {
        self.expect(b'{', "the file")?;
        if self.peek("the file")? == b'}' {
            self.ready.start += 1;
            return self.expect_end();
        }
        loop {
            if self.peek("the file")? != b'"' {
                return Err(self.unexpected("the file", "a key in double quotes"));
            }
            let (offset, span) = self.value_span("a key", true)?;
            if span.len() > MAX_KEY {
                let detail = format!("a key longer than {MAX_KEY} bytes");
                return Err(self.error(offset, "the file", detail));
            }
            let key: String = serde_json::from_slice(&self.buffer[span])
                .map_err(|error| self.error(offset, "a key", error.to_string()))?;
            self.expect(b':', &key)?;
            visit(self, &key)?;
            match self.peek("the file")? {
                b',' => self.ready.start += 1,
                b'}' => {
                    self.ready.start += 1;
                    return self.expect_end();
                }
                _ => return Err(self.unexpected("the file", "`,` or `}`")),
            }
        }
    }

    /// Calls `visit` with the bytes of each item of the list that comes next; what `visit` says is
    /// wrong with one is reported with its place.
    pub(super) fn for_each_in_list(
        &mut self,
        name: &str,
        mut visit: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), ReferError> {
        self.expect(b'[', name)?;
        if self.peek(name)? == b']' {
            self.ready.start += 1;
            return Ok(());
        }
        for index in 0_u64.. {
            let place = || format!("{name}[{index}]");
            let (offset, span) = self.value_span_or(place, true)?;
            visit(&self.buffer[span]).map_err(|detail| self.error(offset, &place(), detail))?;
            match self.peek(name)? {
                b',' => self.ready.start += 1,
                b']' => break,
                _ => return Err(self.unexpected(&place(), "`,` or `]` after it")),
            }
        }
        self.ready.start += 1;
        Ok(())
    }

    /// Passes over the next value, of any length.
    pub(super) fn skip_value(&mut self, name: &str) -> Result<(), ReferError> {
        self.value_span(name, false).map(|_| ())
    }

    /// An error unless nothing but white space is left.
    pub(super) fn expect_end(&mut self) -> Result<(), ReferError> {
        if self.skip_white_space()?.is_some() {
            return Err(self.unexpected("the file", "the end of the file"));
        }
        Ok(())
    }

    /// An error at a place in the file.
    pub(super) fn error(&self, offset: u64, place: &str, detail: String) -> ReferError {
        ReferError::Json { path: self.path.to_owned(), offset, place: place.to_owned(), detail }
    }

    fn value_span(&mut self, place: &str, keep: bool) -> Result<(u64, Range<usize>), ReferError> {
        self.value_span_or(|| place.to_owned(), keep)
    }

    /// Finds the next value: its offset in the file and, if it is to be kept, its place in the
    /// buffer.
    fn value_span_or(
        &mut self,
        place: impl Fn() -> String,
        keep: bool,
    ) -> Result<(u64, Range<usize>), ReferError> {
        if self.skip_white_space()?.is_none() {
            return Err(self.cut_short(&place()));
        }
        let offset = self.offset();
        let mut extent = Extent::default();
        let mut seen = 0;
        loop {
            let fresh = &self.buffer[self.ready.start + seen..self.ready.end];
            if let Some(length) = extent.end_in(fresh) {
                let span = self.ready.start..self.ready.start + seen + length;
                if span.is_empty() && !extent.in_scalar {
                    return Err(self.unexpected(&place(), "a value"));
                }
                self.ready.start = span.end;
                return Ok((offset, span));
            }
            if extent.depth > MAX_DEPTH {
                let detail = format!("nested more than {MAX_DEPTH} deep");
                return Err(self.error(offset, &place(), detail));
            }
            seen += fresh.len();
            if !keep {
                self.ready.start = self.ready.end;
                seen = 0;
            } else if seen > MAX_RECORD {
                let detail = format!("one record longer than {MAX_RECORD} bytes");
                return Err(self.error(offset, &place(), detail));
            }
            if !self.fill()? {
                return Err(self.cut_short(&place()));
            }
        }
    }

    fn expect(&mut self, byte: u8, place: &str) -> Result<(), ReferError> {
        if self.peek(place)? != byte {
            return Err(self.unexpected(place, &format!("`{}`", char::from(byte))));
        }
        self.ready.start += 1;
        Ok(())
    }

    fn peek(&mut self, place: &str) -> Result<u8, ReferError> {
        self.skip_white_space()?.ok_or_else(|| self.cut_short(place))
    }

    fn skip_white_space(&mut self) -> Result<Option<u8>, ReferError> {
        loop {
            let fresh = &self.buffer[self.ready.clone()];
            let blank = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
            if let Some(length) = fresh.iter().position(|byte| !blank(byte)) {
                self.ready.start += length;
                return Ok(self.buffer.get(self.ready.start).copied());
            }
            self.ready.start = self.ready.end;
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Reads more, moving what is not yet used to the front; false at the end of the file.
    fn fill(&mut self) -> Result<bool, ReferError> {
        self.base += self.ready.start as u64;
        self.buffer.copy_within(self.ready.clone(), 0);
        self.ready = 0..self.ready.len();
        if self.buffer.len() - self.ready.end < CHUNK {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let free = &mut self.buffer[self.ready.end..];
        let count = loop {
            match self.file.read(free) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other.map_err(ReferError::io(self.path))?,
            }
        };
        self.ready.end += count;
        Ok(count > 0)
    }

    fn offset(&self) -> u64 {
        self.base + self.ready.start as u64
    }

    fn cut_short(&self, place: &str) -> ReferError {
        let end = self.base + self.ready.end as u64;
        self.error(end, place, "the file is cut short; download it again".to_owned())
    }

    fn unexpected(&self, place: &str, expected: &str) -> ReferError {
        let found = match self.buffer.get(self.ready.start) {
            Some(byte) => format!("`{}`", byte.escape_ascii()),
            None => "nothing".to_owned(),
        };
        self.error(self.offset(), place, format!("{expected} expected, found {found}"))
    }
}

/// Finds where a JSON value ends, from as many pieces as it comes in.
#[derive(Default)]
struct Extent {
    depth: u32,
    in_string: bool,
    escaped: bool,
    in_scalar: bool,
}

impl Extent {
    /// The number of bytes of `piece` that still belong to the value, if it ends in this piece.
    fn end_in(&mut self, piece: &[u8]) -> Option<usize> {
        for (index, &byte) in piece.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => {
                        self.in_string = false;
                        if self.depth == 0 {
                            return Some(index + 1);
                        }
                    }
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' if !self.in_scalar => self.in_string = true,
                b'[' | b'{' if !self.in_scalar => {
                    self.depth += 1;
                    if self.depth > MAX_DEPTH {
                        return None;
                    }
                }
                b']' | b'}' if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Some(index + 1);
                    }
                }
                _ if self.depth > 0 => {}
                b',' | b':' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t' => return Some(index),
                _ => self.in_scalar = true,
            }
        }
        None
    }
}
