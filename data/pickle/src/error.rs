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
#[expect(missing_docs, reason = "each message says what its fields hold")]
pub enum Error {
    /// The input ends in the middle of an opcode, or before its STOP.
    #[error(
        "cut short at byte {offset}: {needed} more bytes expected, {left} left; \
         download the file again"
    )]
    Truncated { offset: usize, needed: u64, left: usize },
    /// The pickle asks for a class, a call or an object from outside.
    #[error(
        "opcode 0x{opcode:02x} at byte {offset} asks for {name}; only plain Python and NumPy values are \
         read, and nothing was run: store them again as lists and dicts (of pandas: `df.to_dict(\"records\")`)"
    )]
    Forbidden { offset: usize, opcode: u8, name: String },
    /// A byte that is no opcode of protocols 0 to 5.
    #[error("byte 0x{byte:02x} at offset {offset} is no pickle opcode; is this file a pickle?")]
    UnknownOpcode { offset: usize, byte: u8 },
    /// An opcode's argument, or what it finds on the stack, makes no sense.
    #[error("opcode 0x{opcode:02x} at byte {offset}: {detail}")]
    Malformed { offset: usize, opcode: u8, detail: String },
    /// One of [`Limits`] is exceeded.
    #[error("at byte {offset}: more than {limit} {what}; no published file comes near that")]
    TooLarge { offset: usize, what: &'static str, limit: u64 },
    /// A value that is missing or of another kind than the type wants.
    #[error("{place}: {detail}")]
    Value { place: String, detail: String },
}

impl serde::de::Error for Error {
    fn custom<T: Display>(detail: T) -> Self {
        Self::Value { place: String::new(), detail: detail.to_string() }
    }
}
