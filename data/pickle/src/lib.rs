//! Reads an untrusted Python pickle: plain containers and scalars, NumPy's too, and nothing else.
//!
//! A pickle is a small program, and running it as Python does would run whatever its author wished.
//! [`from_slice`] knows only the opcodes that build `None`, bools, integers, floats, text, lists,
//! tuples and dicts (protocols 0 to 5), and of the classes and functions that a pickle may name the few
//! by which NumPy stores numbers and arrays: those become numbers and lists. Any other is an error
//! that says which, and where. Byte strings are read as text: as UTF-8 if they are that, else as
//! latin-1 (Python 2 wrote both).
//!
//! The crate `serde-pickle` is not used: it resolves shared references by cloning, so a small file
//! can expand without bound, and it limits neither depth nor size.
//!
//! ```
//! let pickled = b"\x80\x02}q\x00(U\x02idq\x01K\x07U\x05wordsq\x02]q\x03(U\x03redq\x04h\x04eu.";
//! #[derive(serde::Deserialize)]
//! struct Entry {
//!     id: i64,
//!     words: Vec<String>,
//! }
//! let entry: Entry = mllmseg_pickle::from_slice(pickled, &Default::default())?;
//! assert_eq!((entry.id, entry.words), (7, vec!["red".to_owned(); 2]));
//! # Ok::<(), mllmseg_pickle::Error>(())
//! ```
#![warn(missing_docs)]

mod arena;
mod de;
mod error;
mod kinds;
mod machine;
mod numpy;
mod text;

use serde::Deserialize;

pub use error::{Error, Limits};

/// Reads a value from the pickle that `input` begins with.
///
/// # Errors
/// Any [`Error`]. Memory stays within `limits`, whatever the input holds.
pub fn from_slice<'de, T: Deserialize<'de>>(input: &'de [u8], limits: &Limits) -> Result<T, Error> {
    if input.len() as u64 > limits.max_bytes {
        let (offset, limit) = (input.len(), limits.max_bytes);
        return Err(Error::TooLarge { offset, what: "bytes", limit });
    }
    let arena = machine::Machine::new(input, limits).run()?;
    de::read(&arena, limits, input.len())
}
