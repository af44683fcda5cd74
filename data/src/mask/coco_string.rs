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
const MAX_GROUPS: usize = 7;
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
        let error = |position, expected, found: &str| {
            Err(MaskError::RleString { position, expected, found: found.to_owned() })
        };
        let mut counts: Vec<u32> = Vec::new();
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let position = text.len() - rest.len();
            let last = |byte: &u8| (byte - FIRST_CHARACTER) & 32 == 0;
            let Some(end) = rest.iter().take(MAX_GROUPS).position(last) else {
                if rest.len() < MAX_GROUPS {
                    return error(text.len(), "the rest of a number", "the end of the string");
                }
                let longest = position + MAX_GROUPS - 1;
                return error(longest, "a number of at most 7 characters", "a longer one");
            };
            let (groups, after) = rest.split_at(end + 1);
            rest = after;
            let groups = groups.iter().map(|byte| i64::from(byte - FIRST_CHARACTER));
            let negative = groups.clone().next_back().is_some_and(|highest| highest & 16 != 0);
            let sign = if negative { -1 } else { 0 };
            let number = groups.rev().fold(sign, |number, group| number << 5 | group & 31);
            let i = counts.len();
            let before = if i < FIRST_DIFFERENCE { 0 } else { i64::from(counts[i - 2]) };
            let run = number + before;
            let Ok(run) = u32::try_from(run) else {
                let expected = "a run of 0 to 4294967295 pixels";
                return error(position, expected, &format!("a run of {run}"));
            };
            counts.push(run);
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
