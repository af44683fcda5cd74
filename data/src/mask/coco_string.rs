//! The compressed string of COCO's run-length encoding.
//!
//! It writes each run in groups of five bits, lowest first, as the characters 48..=111: bit 32 says
//! that another group follows, and the last group's bit 16 is the sign. From the fourth run on, the
//! difference from the run two places earlier (the last of the same colour) is written in place of
//! the length.

use super::error::MaskError;
use super::rle::Rle;

/// A group's first character: groups are written as printable characters from `'0'` on.
const FIRST_CHARACTER: u8 = 48;
/// A length below 2^32 and its sign fit seven groups of five bits.
const MAX_GROUPS: u32 = 7;
/// The first run that is written as a difference.
const FIRST_DIFFERENCE: usize = 3;

impl Rle {
    /// The compressed string, byte for byte pycocotools'.
    pub fn to_coco_string(&self) -> String {
        let mut text = String::new();
        for (i, &run) in self.counts.iter().enumerate() {
            let before = if i < FIRST_DIFFERENCE { 0 } else { i64::from(self.counts[i - 2]) };
            push_groups(&mut text, i64::from(run) - before);
        }
        text
    }

    /// The encoding of `[height, width]` pixels from its compressed string.
    ///
    /// # Errors
    /// [`MaskError::RleString`] for a string that is no encoding, and as [`Rle::new`].
    pub fn from_coco_string(size: [u32; 2], text: &str) -> Result<Self, MaskError> {
        check_characters(text)?;
        let mut groups = text.bytes().enumerate().peekable();
        let mut counts: Vec<u32> = Vec::new();
        while let Some(&(position, _)) = groups.peek() {
            let number = read_groups(&mut groups, text.len())?;
            let i = counts.len();
            let before = if i < FIRST_DIFFERENCE { 0 } else { i64::from(counts[i - 2]) };
            let run = number + before;
            counts.push(u32::try_from(run).map_err(|_| MaskError::RleString {
                position,
                expected: "a run of 0 to 4294967295 pixels",
                found: format!("a run of {run}"),
            })?);
        }
        Self::new(size, counts)
    }
}

/// Whether a text holds only what a compressed string may.
pub(super) fn check_characters(text: &str) -> Result<(), MaskError> {
    let odd = text.bytes().enumerate().find(|(_, byte)| !(b'0'..=b'o').contains(byte));
    odd.map_or(Ok(()), |(position, byte)| {
        let (expected, found) = ("a character from '0' to 'o'", byte.escape_ascii());
        Err(MaskError::RleString { position, expected, found: format!("'{found}'") })
    })
}

fn push_groups(text: &mut String, mut number: i64) {
    loop {
        let group = (number & 31) as u8;
        number >>= 5;
        // Done when the rest is all sign bits and this group's own top bit already shows the sign.
        let done = number == if group & 16 == 0 { 0 } else { -1 };
        text.push(char::from(FIRST_CHARACTER + (group | if done { 0 } else { 32 })));
        if done {
            return;
        }
    }
}

fn read_groups(
    bytes: &mut impl Iterator<Item = (usize, u8)>,
    length: usize,
) -> Result<i64, MaskError> {
    let mut number = 0i64;
    let mut last = length;
    for place in 0..MAX_GROUPS {
        let Some((position, byte)) = bytes.next() else {
            let (expected, found) = ("the rest of a number", "the end of the string".to_owned());
            return Err(MaskError::RleString { position: length, expected, found });
        };
        let group = byte - FIRST_CHARACTER; // the characters have been checked
        number |= i64::from(group & 31) << (5 * place);
        if group & 32 == 0 {
            let sign = if group & 16 == 0 { 0 } else { -1i64 << (5 * (place + 1)) };
            return Ok(number | sign);
        }
        last = position;
    }
    let expected = "a number of at most 7 characters";
    Err(MaskError::RleString { position: last, expected, found: "a longer one".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_checked() {
        let wrong = |text: &str| Rle::from_coco_string([4, 5], text).unwrap_err();
        assert!(matches!(wrong("0 1"), MaskError::RleString { position: 1, .. }));
        assert!(matches!(wrong("0P"), MaskError::RleString { position: 2, .. }));
        assert!(matches!(wrong("oooooooo"), MaskError::RleString { position: 6, .. }));
        assert!(matches!(wrong("O"), MaskError::RleString { position: 0, .. }));
        assert!(matches!(wrong("é"), MaskError::RleString { position: 0, .. }));
        assert!(matches!(wrong("oooooo7"), MaskError::RleString { position: 0, .. }));
        assert!(matches!(wrong(""), MaskError::RunTotal { expected: 20, found: 0, .. }));
        assert!(matches!(wrong("11"), MaskError::RunTotal { expected: 20, found: 2, .. }));
        let huge = Rle::from_coco_string([u32::MAX, u32::MAX], "11");
        assert!(matches!(huge, Err(MaskError::ImageSize { .. })));
        let sum = Rle::new([4, 5], vec![u32::MAX; 9]);
        assert!(matches!(sum, Err(MaskError::RunTotal { found: 38_654_705_655, .. })));
    }
}
