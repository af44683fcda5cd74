//! SentencePiece's text normalisation, as a model file's `normalizer_spec` asks for it.
//!
//! Facts: `normalizer.cc` and `sentencepiece_model.proto` of google/sentencepiece. The order is:
//! rewrite by the compiled character map (longest match first), fold spaces, add the dummy prefix,
//! write spaces as U+2581.

use sentencepiece_model::NormalizerSpec;
use std::collections::HashMap;

/// The character that stands for a space inside pieces.
pub(super) const SPACE: char = '\u{2581}';

/// Finds the longest of a fixed set of words at the start of a text.
#[derive(Debug, Clone, Default)]
pub(super) struct PrefixMatcher {
    /// Words by their first character, longest first.
    words: HashMap<char, Vec<String>>,
}

impl PrefixMatcher {
    pub(super) fn new(words: impl IntoIterator<Item = String>) -> Self {
        let mut by_first: HashMap<char, Vec<String>> = HashMap::new();
        for word in words {
            if let Some(first) = word.chars().next() {
                by_first.entry(first).or_default().push(word);
            }
        }
        for words in by_first.values_mut() {
            words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        }
        Self { words: by_first }
    }

    /// The length in bytes of the longest word that `text` starts with.
    pub(super) fn longest(&self, text: &str) -> Option<usize> {
        let words = self.words.get(&text.chars().next()?)?;
        words.iter().find(|word| text.starts_with(word.as_str())).map(String::len)
    }
}

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
    fn longest(&self, text: &str) -> Option<(&str, usize)> {
        let mut node = 0usize;
        let mut unit = *self.units.first()?;
        let mut found = None;
        node ^= offset(unit);
        for (index, &byte) in text.as_bytes().iter().enumerate() {
            node ^= usize::from(byte);
            let Some(&next) = self.units.get(node) else {
                break;
            };
            // Bit 31 marks a value, so comparing it too keeps values from passing for labels.
            if byte == 0 || next & 0x8000_00ff != u32::from(byte) {
                break;
            }
            unit = next;
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

/// The normaliser of one model.
#[derive(Debug, Clone)]
pub(super) struct Normalizer {
    charsmap: Option<CharsMap>,
    pub(super) add_dummy_prefix: bool,
    pub(super) remove_extra_whitespaces: bool,
    escape_whitespaces: bool,
    whitespace_as_suffix: bool,
}

impl Normalizer {
    /// Takes the flags from the model file (whose absent ones default to true, as the format says).
    pub(super) fn new(
        spec: Option<&NormalizerSpec>,
        whitespace_as_suffix: bool,
    ) -> Result<Self, String> {
        let default = NormalizerSpec::default();
        let spec = spec.unwrap_or(&default);
        Ok(Self {
            charsmap: CharsMap::parse(spec.precompiled_charsmap())?,
            add_dummy_prefix: spec.add_dummy_prefix(),
            remove_extra_whitespaces: spec.remove_extra_whitespaces(),
            escape_whitespaces: spec.escape_whitespaces(),
            whitespace_as_suffix,
        })
    }

    /// The normalised text; user-defined pieces in it stay as they are.
    pub(super) fn normalize(&self, text: &str, user_defined: &PrefixMatcher) -> String {
        let mut rest = text;
        if self.remove_extra_whitespaces {
            while let Some((" ", length)) = self.step(rest, user_defined) {
                rest = rest.get(length..).unwrap_or_default();
            }
        }
        if rest.is_empty() {
            return String::new();
        }
        let mut out = String::with_capacity(rest.len() + rest.len() / 4 + 3);
        if self.add_dummy_prefix && !self.whitespace_as_suffix {
            self.push(&mut out, " ");
        }
        let mut after_space = self.remove_extra_whitespaces;
        while let Some((mut part, length)) = self.step(rest, user_defined) {
            if after_space {
                part = part.trim_start_matches(' ');
            }
            if !part.is_empty() {
                self.push(&mut out, part);
                after_space = self.remove_extra_whitespaces && part.ends_with(' ');
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        if self.remove_extra_whitespaces {
            let space = if self.escape_whitespaces { SPACE } else { ' ' };
            out.truncate(out.trim_end_matches(space).len());
        }
        if self.add_dummy_prefix && self.whitespace_as_suffix {
            self.push(&mut out, " ");
        }
        out
    }

    /// What the next stretch of `rest` becomes, and that stretch's length in bytes; `None` at the
    /// end.
    fn step<'a>(&'a self, rest: &'a str, user_defined: &PrefixMatcher) -> Option<(&'a str, usize)> {
        if let Some(length) = user_defined.longest(rest) {
            return Some((rest.get(..length)?, length));
        }
        if let Some(found) = self.charsmap.as_ref().and_then(|map| map.longest(rest)) {
            return Some(found);
        }
        let length = rest.chars().next()?.len_utf8();
        Some((rest.get(..length)?, length))
    }

    fn push(&self, out: &mut String, part: &str) {
        if self.escape_whitespaces {
            out.extend(part.chars().map(|c| if c == ' ' { SPACE } else { c }));
        } else {
            out.push_str(part);
        }
    }
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
