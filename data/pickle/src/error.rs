//! What a pickle may cost, and what can be wrong with one.

use std::fmt::Display;

/// What a pickle may cost before it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest input, in bytes. The published files are below 100 MB.
    pub max_bytes: u64,
    /// The most values that the opcodes push, references to earlier ones included; at most
    /// `u32::MAX`. The largest published file needs about 6 million; each costs up to 32 bytes.
    pub max_values: u32,
    /// The deepest nesting. The published files need 5.
    pub max_depth: usize,
    /// Bytes read out per byte of input, beyond the first 16 MiB. Shared references could make it
    /// millions; the published files stay below 4.
    pub max_expansion: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 512 << 20, max_values: 1 << 25, max_depth: 64, max_expansion: 16 }
    }
}

/// Why a pickle was refused. Offsets are in bytes from the start of the input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The input ends in the middle of an opcode, or before its STOP.
    #[error(
        "cut short at byte {offset}: {needed} more bytes expected, {left} left; \
         download the file again"
    )]
    Truncated {
        /// Where the missing bytes should begin.
        offset: usize,
        /// How many bytes the opcode asks for.
        needed: u64,
        /// How many there are.
        left: usize,
    },
    /// The pickle asks for a class, a call or an object from outside.
    #[error(
        "opcode 0x{opcode:02x} at byte {offset} asks for {name}; only plain containers and scalars \
         are read, so do not trust this file, or store it again as plain lists and dicts"
    )]
    Forbidden {
        /// Where the opcode stands.
        offset: usize,
        /// The opcode.
        opcode: u8,
        /// What it wants: `module.name` for a global.
        name: String,
    },
    /// A byte that is no opcode of protocols 0 to 5.
    #[error("byte 0x{byte:02x} at offset {offset} is no pickle opcode; is this file a pickle?")]
    UnknownOpcode {
        /// Where the byte stands.
        offset: usize,
        /// The byte.
        byte: u8,
    },
    /// An opcode's argument, or what it finds on the stack, makes no sense.
    #[error("opcode 0x{opcode:02x} at byte {offset}: {detail}")]
    Malformed {
        /// Where the opcode stands.
        offset: usize,
        /// The opcode.
        opcode: u8,
        /// What was expected and what was found.
        detail: String,
    },
    /// One of [`Limits`] is exceeded.
    #[error("at byte {offset}: more than {limit} {what}; no published file comes near that")]
    TooLarge {
        /// Where the limit was passed; the length of the input while values are read out.
        offset: usize,
        /// What was counted.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A value that is missing or of another kind than the type wants.
    #[error("{place}: {detail}")]
    Value {
        /// Which value, such as `[3].sentences[0].sent_id`.
        place: String,
        /// What was expected and what was found.
        detail: String,
    },
}

impl serde::de::Error for Error {
    fn custom<T: Display>(detail: T) -> Self {
        Self::Value { place: String::new(), detail: detail.to_string() }
    }
}
