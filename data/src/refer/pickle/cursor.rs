//! The bytes of a pickle, read from front to back.

use super::PickleError;

pub(super) struct Cursor<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0 }
    }

    /// Bytes read so far.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// Checks that `length` more bytes are there, before anything is made of that length.
    pub(super) fn require(&self, length: u64) -> Result<usize, PickleError> {
        let left = self.input.len() - self.at;
        usize::try_from(length)
            .ok()
            .filter(|&length| length <= left)
            .ok_or(PickleError::Truncated { offset: self.at, needed: length, left })
    }

    pub(super) fn take(&mut self, length: u64) -> Result<&'a [u8], PickleError> {
        let length = self.require(length)?;
        let bytes = &self.input[self.at..self.at + length];
        self.at += length;
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    pub(super) fn byte(&mut self) -> Result<u8, PickleError> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Result<u32, PickleError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, PickleError> {
        self.array().map(u64::from_le_bytes)
    }

    /// The bytes up to the next line feed, which is passed over.
    pub(super) fn line(&mut self) -> Result<&'a [u8], PickleError> {
        let rest = &self.input[self.at..];
        let Some(length) = rest.iter().position(|&byte| byte == b'\n') else {
            let (offset, left) = (self.at, rest.len());
            return Err(PickleError::Truncated { offset, needed: left as u64 + 1, left });
        };
        self.at += length + 1;
        Ok(&rest[..length])
    }
}
