//! A large JSON file, one record at a time.
//!
//! The file is read in pieces, of which only the value at hand is kept. Where a value ends is found by its quotes and
//! brackets alone, and only what is wanted is parsed: most annotations of an `instances.json` are named by no ref.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memchr::{memchr2, memmem};
use serde::de::DeserializeOwned;

use super::ReferError;
use crate::files::FileError;
use crate::leniency::{Leniencies, Leniency, note};

/// Bytes read at once.
const CHUNK: usize = 1 << 20;
/// The longest record; the longest published one is far below 1 MB.
const MAX_RECORD: usize = 64 << 20;
/// What Windows programs put at the start of a text file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const CUT_SHORT: &str = "the file is cut short; download it again";

/// Calls `visit` with each record of a file that is one JSON list; `list` is what messages call it.
///
/// # Errors
/// [`ReferError::File`], or [`ReferError::Content`] if the file is cut short or no list, if a record is
/// no `T`, or if `visit` returns an error.
pub fn for_each_record<T: DeserializeOwned>(
    path: &Path,
    list: &'static str,
    mut visit: impl FnMut(T) -> Result<(), String>,
) -> Result<(), ReferError> {
    let mut file = JsonFile::open(path, &mut Leniencies::default())?;
    file.list(list, |record| visit(record.parse()?))?;
    file.end()
}

/// The message of `serde_json` without its own place.
pub(super) fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(&*text, |(detail, _)| detail).to_owned()
}

/// One value of a list.
pub(super) struct Record<'b> {
    bytes: &'b [u8],
    /// What follows its key `id`.
    id: Option<&'b [u8]>,
}

impl Record<'_> {
    /// The record as a `T`. Python writes `NaN` and `Infinity`, which JSON lacks: they are read as null.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, String> {
        let parsed = serde_json::from_slice(self.bytes).or_else(|error| {
            let bytes = without_nan(self.bytes).ok_or(error)?;
            note(Leniency::NotANumber);
            serde_json::from_slice(&bytes)
        });
        parsed.map_err(|error| message(&error))
    }

    /// Its `id`, if it has one that is a `T`.
    pub fn id<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::Deserializer::from_slice(self.id?).into_iter().next()?.ok()
    }
}

/// The value with null for each NaN and Infinity outside its strings; nothing if there are none.
fn without_nan(value: &[u8]) -> Option<Vec<u8>> {
    const WORDS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    if !WORDS.iter().any(|word| memmem::find(value, word).is_some()) {
        return None;
    }
    let (mut kept, mut found, mut rest) = (Vec::with_capacity(value.len()), false, value);
    while let Some(&byte) = rest.first() {
        let mut length = 1;
        if byte == b'"' {
            length = 1 + end_of_string(&rest[1..])?;
        } else if let Some(word) = WORDS.iter().find(|word| rest.starts_with(word)) {
            kept.extend_from_slice(b"null");
            rest = &rest[word.len()..];
            found = true;
            continue;
        }
        kept.extend_from_slice(&rest[..length]);
        rest = &rest[length..];
    }
    found.then_some(kept)
}

/// How many bytes of a string follow, with its quote.
fn end_of_string(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// A file that is read from its start to its end.
pub(super) struct JsonFile {
    path: PathBuf,
    file: File,
    /// What is read of it and not yet passed over.
    buffer: Vec<u8>,
    /// Where in the buffer the next value begins, and where in the file the buffer begins.
    at: usize,
    before: u64,
    ended: bool,
    /// What is being read, for messages.
    place: (&'static str, Option<u64>),
}

impl JsonFile {
    /// Opens a file, and passes over its byte order mark.
    pub fn open(path: &Path, leniencies: &mut Leniencies) -> Result<Self, ReferError> {
        let file = File::open(path).map_err(FileError::at(path))?;
        let (buffer, place) = (Vec::new(), ("the file", None));
        let mut json =
            Self { path: path.to_owned(), file, buffer, at: 0, before: 0, ended: false, place };
        json.fill()?;
        if json.buffer.starts_with(BYTE_ORDER_MARK) {
            json.at = BYTE_ORDER_MARK.len();
            leniencies.one(Leniency::ByteOrderMark, &path.display());
        }
        if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] = json.buffer[..] {
            return Err(json.fail("the file is UTF-16 text or binary; save it as UTF-8"));
        }
        Ok(json)
    }

    /// An error here.
    pub fn fail(&self, detail: impl AsRef<str>) -> ReferError {
        let place = match self.place {
            (list, Some(index)) => format!("{list}[{index}]"),
            (place, None) => place.to_owned(),
        };
        let byte = self.before + self.at as u64;
        ReferError::content(&self.path, format!("in {place}: {} (byte {byte})", detail.as_ref()))
    }

    fn cut_short(&mut self) -> ReferError {
        self.at = self.buffer.len();
        self.fail(CUT_SHORT)
    }

    /// Reads more, and forgets what was passed over.
    fn fill(&mut self) -> Result<(), ReferError> {
        self.buffer.drain(..self.at);
        self.before += self.at as u64;
        self.at = 0;
        let read = (&mut self.file).take(CHUNK as u64).read_to_end(&mut self.buffer);
        self.ended = read.map_err(FileError::at(&self.path))? == 0;
        Ok(())
    }

    /// The next byte that is no white space, or nothing at the end of the file.
    pub fn peek(&mut self) -> Result<Option<u8>, ReferError> {
        loop {
            let rest = &self.buffer[self.at..];
            match rest.iter().position(|byte| !b" \n\r\t".contains(byte)) {
                Some(blank) => {
                    self.at += blank;
                    return Ok(Some(self.buffer[self.at]));
                }
                None if self.ended => return Ok(None),
                None => {
                    self.at = self.buffer.len();
                    self.fill()?;
                }
            }
        }
    }

    fn expect(&mut self, expected: u8) -> Result<(), ReferError> {
        match self.peek()? {
            Some(byte) if byte == expected => {
                self.at += 1;
                Ok(())
            }
            Some(byte) => Err(self.fail(format!(
                "expected `{}`, found `{}`",
                char::from(expected),
                byte.escape_ascii()
            ))),
            None => Err(self.cut_short()),
        }
    }

    /// Whether another item of a list or dict follows the first `count`; if not, its end is passed over.
    fn another(&mut self, count: u64, end: u8) -> Result<bool, ReferError> {
        if self.peek()? == Some(end) {
            self.at += 1;
            return Ok(false);
        }
        if count > 0 {
            self.expect(b',')?;
        }
        Ok(true)
    }

    /// The place in the buffer of the next value, which must be at most [`MAX_RECORD`] long.
    fn value(&mut self) -> Result<(Range<usize>, Option<usize>), ReferError> {
        if self.peek()?.is_none() {
            return Err(self.cut_short());
        }
        let mut scan = Scan::default();
        loop {
            let value = &self.buffer[self.at..];
            if scan.advance(value) || self.ended && scan.is_bare() {
                let start = self.at;
                self.at += scan.length;
                return Ok((start..self.at, scan.id));
            }
            if self.ended {
                return Err(self.cut_short());
            }
            if value.len() > MAX_RECORD {
                return Err(self.fail(format!("one value longer than {} MiB", MAX_RECORD >> 20)));
            }
            self.fill()?;
        }
    }

    /// Passes over the next value, however long it is.
    pub fn skip(&mut self) -> Result<(), ReferError> {
        if self.peek()?.is_none() {
            return Err(self.cut_short());
        }
        let mut scan = Scan::default();
        loop {
            if scan.advance(&self.buffer[self.at..]) || self.ended && scan.is_bare() {
                self.at += scan.length;
                return Ok(());
            }
            if self.ended {
                return Err(self.cut_short());
            }
            if !scan.is_bare() {
                self.at += scan.forget();
            }
            self.fill()?;
        }
    }

    /// Visits the values of a list.
    pub fn list(
        &mut self,
        list: &'static str,
        mut visit: impl FnMut(Record<'_>) -> Result<(), String>,
    ) -> Result<(), ReferError> {
        self.place = (list, None);
        if let Some(found) = self.peek()?.filter(|byte| *byte != b'[') {
            return Err(
                self.fail(format!("invalid type: {}, expected a list of {list}", kind(found)))
            );
        }
        self.expect(b'[')?;
        for index in 0.. {
            self.place = (list, Some(index));
            if !self.another(index, b']')? {
                break;
            }
            self.record(&mut visit)?;
        }
        self.place = ("the file", None);
        Ok(())
    }

    /// Visits the next value.
    pub fn record(
        &mut self,
        visit: &mut impl FnMut(Record<'_>) -> Result<(), String>,
    ) -> Result<(), ReferError> {
        let (range, id) = self.value()?;
        let bytes = &self.buffer[range];
        visit(Record { bytes, id: id.and_then(|id| bytes.get(id..)) })
            .map_err(|detail| self.fail(detail))
    }

    /// Visits the keys of a dict: `visit` passes over their values.
    pub fn dict(
        &mut self,
        expected: &str,
        mut visit: impl FnMut(&mut Self, &str) -> Result<(), ReferError>,
    ) -> Result<(), ReferError> {
        if let Some(found) = self.peek()?.filter(|byte| *byte != b'{') {
            return Err(self.fail(format!("invalid type: {}, expected {expected}", kind(found))));
        }
        self.expect(b'{')?;
        for count in 0.. {
            if !self.another(count, b'}')? {
                break;
            }
            let (range, _) = self.value()?;
            let key: Result<Cow<str>, _> = serde_json::from_slice(&self.buffer[range]);
            let key = key.map_err(|error| self.fail(message(&error)))?.into_owned();
            self.expect(b':')?;
            visit(self, &key)?;
        }
        Ok(())
    }

    /// Checks that nothing follows.
    pub fn end(&mut self) -> Result<(), ReferError> {
        self.place = ("the file", None);
        match self.peek()? {
            None => Ok(()),
            Some(_) => Err(self.fail("trailing characters")),
        }
    }
}

/// What a value is, by its first byte, in the words of `serde_json`.
fn kind(first: u8) -> &'static str {
    match first {
        b'[' => "sequence",
        b'{' => "map",
        b'"' => "string",
        _ => "number or other scalar",
    }
}

/// The search for the end of a value, which goes on when more of the file is there.
#[derive(Default)]
struct Scan {
    /// Bytes of the value that were looked at.
    length: usize,
    depth: usize,
    /// Where the string begins that `length` is in.
    string: Option<usize>,
    /// Whether the string before was `"id"`, directly within a dict.
    after_id: bool,
    /// Where the value of the key `id` begins.
    id: Option<usize>,
}

impl Scan {
    /// Whether the value that `bytes` begin with ends within them, at `length`.
    fn advance(&mut self, bytes: &[u8]) -> bool {
        while self.length < bytes.len() {
            if let Some(start) = self.string {
                match memchr2(b'"', b'\\', &bytes[self.length..]) {
                    None => self.length = bytes.len(),
                    Some(at) if bytes[self.length + at] == b'"' => {
                        let end = self.length + at;
                        self.after_id = self.depth == 1 && bytes.get(start..end) == Some(b"id");
                        (self.string, self.length) = (None, end + 1);
                        if self.depth == 0 {
                            return true;
                        }
                    }
                    Some(at) if self.length + at + 1 < bytes.len() => self.length += at + 2,
                    Some(at) => {
                        self.length += at; // an escape whose second byte is still to be read
                        return false;
                    }
                }
                continue;
            }
            if self.depth > 0 && !self.after_id {
                let rest = &bytes[self.length..];
                let plain = rest.as_chunks().0.iter().take_while(is_plain).count() * BLOCK;
                let marked = rest[plain..].iter().position(is_mark);
                self.length += marked.map_or(rest.len(), |at| plain + at);
            }
            let Some(&byte) = bytes.get(self.length) else { break };
            if self.depth == 0 && self.length > 0 && b",]}: \n\r\t".contains(&byte) {
                return true; // the end of a number or word
            }
            self.length += 1;
            match byte {
                b'"' => self.string = Some(self.length),
                b'[' | b'{' => self.depth += 1,
                b']' | b'}' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return true;
                    }
                }
                b':' if self.after_id => self.id = self.id.or(Some(self.length)),
                _ => {}
            }
            self.after_id &= b" \n\r\t".contains(&byte);
        }
        false
    }

    /// Whether it is a number or a word, which may end with the file.
    fn is_bare(&self) -> bool {
        self.depth == 0 && self.string.is_none() && self.length > 0
    }

    /// Counts from here on, and returns how many bytes it had counted; for values that nobody wants.
    fn forget(&mut self) -> usize {
        self.string = self.string.map(|_| 0);
        std::mem::take(&mut self.length)
    }
}

/// Bytes looked at together.
const BLOCK: usize = 32;

/// Whether none of the bytes is a mark; without a branch, so that they are compared at once.
fn is_plain(block: &&[u8; BLOCK]) -> bool {
    !block.iter().fold(false, |any, byte| any | is_mark(byte))
}

/// A quote or a bracket. One bit tells `[` from `{`, and `]` from `}`.
fn is_mark(byte: &u8) -> bool {
    const BIT: u8 = b'[' ^ b'{';
    (*byte | BIT == b'{') | (*byte | BIT == b'}') | (*byte == b'"')
}
