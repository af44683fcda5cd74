//! Added tokens: the ones beside the base vocabulary, found in the text before anything else is
//! tokenized.

use std::collections::HashMap;

/// A token added to the base vocabulary, with the flags of `added_tokens_decoder`.
///
/// `normalized` only matters to `tokenizer.json`: the slow tokenizers ignore it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedToken {
    /// The text that stands for the token.
    pub content: String,
    /// Its id, a row of the embedding table.
    pub id: u32,
    /// Swallows the spaces on its left.
    pub lstrip: bool,
    /// Swallows the spaces on its right.
    pub rstrip: bool,
    /// Only counts between spaces or at the text's ends.
    pub single_word: bool,
    /// Is looked for in normalised text (`tokenizer.json` only).
    pub normalized: bool,
    /// Is left out when decoding without special tokens.
    pub special: bool,
}

impl AddedToken {
    /// A special token that is matched to the letter.
    pub fn special(content: &str, id: u32) -> Self {
        Self {
            content: content.to_owned(),
            id,
            lstrip: false,
            rstrip: false,
            single_word: false,
            normalized: false,
            special: true,
        }
    }
}

/// All added tokens of a tokenizer.
#[derive(Debug, Clone, Default)]
pub(super) struct AddedTokens {
    /// By ascending id.
    tokens: Vec<AddedToken>,
    by_content: HashMap<String, usize>,
    by_id: HashMap<u32, usize>,
    /// Indices of the tokens that start with a byte, longest first.
    by_first_byte: HashMap<u8, Vec<usize>>,
}

impl AddedTokens {
    /// Takes tokens whose contents and ids are known to be distinct.
    pub(super) fn new(mut tokens: Vec<AddedToken>) -> Self {
        tokens.sort_by_key(|token| token.id);
        let mut this = Self::default();
        for (index, token) in tokens.iter().enumerate() {
            this.by_content.insert(token.content.clone(), index);
            this.by_id.insert(token.id, index);
            if let Some(&first) = token.content.as_bytes().first() {
                this.by_first_byte.entry(first).or_default().push(index);
            }
        }
        for candidates in this.by_first_byte.values_mut() {
            candidates.sort_by_key(|&index| std::cmp::Reverse(tokens[index].content.len()));
        }
        this.tokens = tokens;
        this
    }

    pub(super) fn all(&self) -> &[AddedToken] {
        &self.tokens
    }

    pub(super) fn by_content(&self, content: &str) -> Option<&AddedToken> {
        self.tokens.get(*self.by_content.get(content)?)
    }

    pub(super) fn by_id(&self, id: u32) -> Option<&AddedToken> {
        self.tokens.get(*self.by_id.get(&id)?)
    }

    /// The first added token in `text`: its byte position and itself; the longest of those that
    /// start there.
    pub(super) fn find(&self, text: &str) -> Option<(usize, &AddedToken)> {
        text.bytes().enumerate().find_map(|(at, byte)| {
            let candidates = self.by_first_byte.get(&byte)?;
            let rest = text.get(at..)?;
            candidates
                .iter()
                .filter_map(|&index| self.tokens.get(index))
                .find(|token| rest.starts_with(&token.content))
                .map(|token| (at, token))
        })
    }

    /// Cuts `text` at its added tokens and applies their flags, as the slow tokenizers do.
    ///
    /// A part that equals an added token's text *is* that token; parts may be empty.
    pub(super) fn split(&self, text: &str) -> Vec<String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((at, token)) = self.find(rest) {
            let (before, after) = rest.split_at(at);
            if !before.is_empty() {
                parts.push(before.to_owned());
            }
            parts.push(token.content.clone());
            rest = after.get(token.content.len()..).unwrap_or_default();
        }
        if !rest.is_empty() {
            parts.push(rest.to_owned());
        }
        for index in 0..parts.len() {
            self.apply_flags(&mut parts, index);
        }
        parts
    }

    fn apply_flags(&self, parts: &mut [String], index: usize) {
        let Some((before, [part, after @ ..])) = parts.split_at_mut_checked(index) else {
            return;
        };
        let Some(token) = self.by_content(part) else {
            return;
        };
        let mut left = before.last_mut().filter(|left| !left.is_empty());
        let mut right = after.first_mut().filter(|right| !right.is_empty());
        // A single word that touches others is ordinary text: it joins the neighbour (seen before
        // that is stripped).
        let touches_left = left.as_ref().is_some_and(|left| !left.ends_with(' '));
        let touches_right = right.as_ref().is_some_and(|right| !right.starts_with(' '));
        if let Some(right) = right.as_mut().filter(|_| token.rstrip) {
            **right = right.trim_start_matches(is_python_space).to_owned();
        }
        if let Some(left) = left.as_mut().filter(|_| token.lstrip) {
            left.truncate(left.trim_end_matches(is_python_space).len());
        }
        if token.single_word
            && touches_left
            && let Some(left) = left
        {
            left.push_str(&std::mem::take(part));
        } else if token.single_word
            && touches_right
            && let Some(right) = right
        {
            right.insert_str(0, &std::mem::take(part));
        }
    }
}

/// What Python's `str.strip` takes for space: Unicode's white space and the four information
/// separators.
fn is_python_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> AddedTokens {
        let strip = AddedToken { lstrip: true, rstrip: true, ..AddedToken::special("<e>", 3) };
        let word = AddedToken { single_word: true, ..AddedToken::special("cat", 4) };
        AddedTokens::new(vec![
            AddedToken::special("<|a|>", 1),
            AddedToken::special("<|a|>b", 2),
            strip,
            word,
        ])
    }

    /// Expected values: `PreTrainedTokenizer.tokenize` of transformers, worked through by hand.
    #[test]
    fn text_is_cut_at_the_longest_leftmost_token() {
        assert_eq!(tokens().split("x<|a|>by<|a|>c"), ["x", "<|a|>b", "y", "<|a|>", "c"]);
        assert_eq!(tokens().split(""), Vec::<String>::new());
        assert_eq!(tokens().split("<|a|><|a|>"), ["<|a|>", "<|a|>"]);
    }

    #[test]
    fn stripping_tokens_swallow_the_spaces_beside_them() {
        assert_eq!(tokens().split("x \u{a0}<e>\n\u{1f} y "), ["x", "<e>", "y "]);
        assert_eq!(tokens().split(" <e> "), ["", "<e>", ""]);
    }

    #[test]
    fn single_words_count_only_between_spaces() {
        assert_eq!(tokens().split("a cat sat"), ["a ", "cat", " sat"]);
        assert_eq!(tokens().split("concat sat"), ["concat", "", " sat"]);
        assert_eq!(tokens().split("cats sat"), ["", "cats sat"]);
    }
}
