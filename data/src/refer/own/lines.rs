//! A file of lines, one at a time: only one line is in memory.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::super::ReferError;
use crate::files::FileError;

/// The largest file. Larger data keep their masks as PNGs.
const MAX_FILE_BYTES: u64 = 1 << 30;
const MAX_LINE_BYTES: usize = 16 << 20;
/// The most lines, blank ones too.
const MAX_LINES: u64 = 100_000_000;
/// What Windows programs put at the start of a text file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Calls `visit` with the number (from 1) of each line that is not blank, and its bytes without the
/// end. An error of `visit` is reported with the number of its line.
pub(super) fn for_each(
    path: &Path,
    mut visit: impl FnMut(u64, &[u8]) -> Result<(), String>,
) -> Result<(), ReferError> {
    let file = File::open(path).map_err(FileError::at(path))?;
    let fail = |line, detail| ReferError::Line { path: path.to_owned(), line, detail };
    let mut file = BufReader::with_capacity(1 << 18, file);
    let mut line = Vec::new();
    let mut number = 0;
    let mut read = 0;
    loop {
        line.clear();
        // One byte more than the longest allowed, so that a longer one is noticed.
        let mut limited = file.by_ref().take(MAX_LINE_BYTES as u64 + 1);
        if limited.read_until(b'\n', &mut line).map_err(FileError::at(path))? == 0 {
            return Ok(());
        }
        number += 1;
        read += line.len() as u64;
        if line.len() > MAX_LINE_BYTES {
            let limit = MAX_LINE_BYTES >> 20;
            let detail = format!("longer than {limit} MiB; keep such a mask as a PNG");
            return Err(fail(number, detail));
        }
        if read > MAX_FILE_BYTES || number > MAX_LINES {
            let gib = MAX_FILE_BYTES >> 30;
            let detail = format!(
                "the file is longer than {gib} GiB or {MAX_LINES} lines; keep masks as PNGs, or split it up"
            );
            return Err(fail(number, detail));
        }
        if number == 1
            && (line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff") || line.contains(&0))
        {
            return Err(fail(number, "the file is UTF-16 text or binary; save it as UTF-8".into()));
        }
        let text = match number {
            1 => line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line),
            _ => &line,
        };
        let text = text.trim_ascii_end();
        if !text.is_empty() {
            visit(number, text).map_err(|detail| fail(number, detail))?;
        }
    }
}
