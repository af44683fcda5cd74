//! The compiled character map of a SentencePiece model's normaliser.
//!
//! `spm_precompiled`, which `tokenizers` uses, does not serve: it takes the first mapped prefix and
//! not the longest, does not say how long it is, and indexes a damaged map without a check.

/// A compiled character map: a double-array trie (the darts-clone layout) over UTF-8 prefixes, and
/// their replacements.
#[derive(Debug, Clone)]
pub(super) struct CharsMap {
    units: Vec<u32>,
    replacements: String,
}

impl CharsMap {
    /// Reads `[u32 trie bytes][trie][replacements, each ended by NUL]`, little endian.
    pub(super) fn parse(blob: &[u8]) -> Result<Option<Self>, String> {
        if blob.is_empty() {
            return Ok(None);
        }
        let (size, rest) =
            blob.split_first_chunk::<4>().ok_or("a character map of fewer than 4 bytes")?;
        let size = u32::from_le_bytes(*size) as usize;
        if !size.is_multiple_of(4) || size > rest.len() {
            return Err(format!("a character map trie of {size} bytes in {} bytes", rest.len()));
        }
        let (trie, replacements) = rest.split_at(size);
        let units = trie.as_chunks::<4>().0.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
        let replacements = std::str::from_utf8(replacements)
            .map_err(|_| "character map replacements that are not UTF-8".to_string())?
            .to_owned();
        Ok(Some(Self { units, replacements }))
    }

    /// The replacement of the longest mapped prefix of `text`, with that prefix's length in bytes.
    pub(super) fn longest(&self, text: &str) -> Option<(&str, usize)> {
        let mut node = offset(*self.units.first()?);
        let mut found = None;
        for (index, &byte) in text.as_bytes().iter().enumerate() {
            node ^= usize::from(byte);
            // Bit 31 marks a value, so comparing it too keeps values from passing for labels.
            let matches = |unit: &&u32| byte != 0 && **unit & 0x8000_00ff == u32::from(byte);
            let Some(&unit) = self.units.get(node).filter(matches) else { break };
            node ^= offset(unit);
            if unit & 0x100 != 0
                && let Some(&value) = self.units.get(node)
            {
                found = Some((value & 0x7fff_ffff, index + 1));
            }
        }
        let (start, length) = found.filter(|&(_, length)| text.is_char_boundary(length))?;
        let replacement = self.replacements.get(start as usize..)?;
        Some((replacement.split('\0').next().unwrap_or_default(), length))
    }
}

fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & 0x200) >> 6)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_character_maps_are_errors_and_never_loop_or_panic() {
        assert!(CharsMap::parse(&[]).unwrap().is_none());
        assert!(CharsMap::parse(&[1, 0]).unwrap_err().contains("fewer than 4"));
        assert!(CharsMap::parse(&[255, 255, 255, 255]).unwrap_err().contains("in 0 bytes"));
        assert!(CharsMap::parse(&[0, 0, 0, 0, 0xff]).unwrap_err().contains("UTF-8"));
        // Every unit points somewhere outside or at a value outside the replacements.
        let mut blob = 64u32.to_le_bytes().to_vec();
        blob.extend([0xff; 64]);
        let map = CharsMap::parse(&blob).unwrap().unwrap();
        assert_eq!(map.longest("a"), None);
    }
}
