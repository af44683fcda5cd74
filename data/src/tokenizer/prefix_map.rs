//! A map from words to numbers that finds the longest word at the start of a text.

use std::collections::{BTreeMap, HashMap};

/// Words with a number each.
#[derive(Debug, Clone, Default)]
pub(super) struct PrefixMap {
    /// By first character, then by length in bytes.
    words: HashMap<char, BTreeMap<usize, HashMap<String, u32>>>,
}

impl PrefixMap {
    /// Adds a word; an empty one is left out.
    pub(super) fn insert(&mut self, word: &str, number: u32) {
        if let Some(first) = word.chars().next() {
            let by_length = self.words.entry(first).or_default();
            by_length.entry(word.len()).or_default().insert(word.to_owned(), number);
        }
    }

    pub(super) fn get(&self, word: &str) -> Option<u32> {
        self.words.get(&word.chars().next()?)?.get(&word.len())?.get(word).copied()
    }

    /// The longest word that `text` starts with: its length in bytes and its number.
    pub(super) fn longest(&self, text: &str) -> Option<(usize, u32)> {
        let by_length = self.words.get(&text.chars().next()?)?;
        by_length.iter().rev().find_map(|(&length, words)| {
            words.get(text.get(..length)?).map(|&number| (length, number))
        })
    }
}
