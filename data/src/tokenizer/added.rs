//! Added tokens: the ones beside the base vocabulary. They are found in a text before the rest of
//! it is tokenized.

use super::error::Result;
use super::prefix_map::PrefixMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A token added to the base vocabulary, with the flags of `added_tokens_decoder`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct AddedToken {
    /// The text that stands for the token.
    pub content: String,
    /// Its id, a row of the embedding table.
    #[serde(skip_serializing)]
    pub id: u32,
    /// Removes the spaces on its left.
    pub lstrip: bool,
    /// Removes the spaces on its right.
    pub rstrip: bool,
    /// Only counts beside spaces or at the text's ends.
    pub single_word: bool,
    /// Is looked for in normalised text. Only `tokenizer.json` heeds it: the slow tokenizers do not.
    pub normalized: bool,
    /// Is left out when decoding without special tokens.
    pub special: bool,
}

impl AddedToken {
    /// A special token that is matched to the letter.
    pub fn special(content: &str, id: u32) -> Self {
        Self { content: content.to_owned(), id, special: true, ..Self::default() }
    }
}

/// All added tokens of a tokenizer.
#[derive(Debug, Clone, Default)]
pub(super) struct AddedTokens {
    by_id: BTreeMap<u32, AddedToken>,
    ids: PrefixMap,
}

impl AddedTokens {
    /// Adds a token. One with the same content and id stays as it is; an error says what else
    /// has the content or the id.
    pub(super) fn insert(&mut self, token: AddedToken) -> Result<(), String> {
        match (self.ids.get(&token.content), self.by_id.get(&token.id)) {
            (Some(id), _) if id == token.id => return Ok(()),
            (Some(id), _) => return Err(format!("the token has id {id} already")),
            (None, Some(other)) => return Err(format!("`{}` has that id already", other.content)),
            (None, None) => {}
        }
        self.ids.insert(&token.content, token.id);
        self.by_id.insert(token.id, token);
        Ok(())
    }

    /// The tokens by ascending id.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &AddedToken> {
        self.by_id.values()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn id(&self, content: &str) -> Option<u32> {
        self.ids.get(content)
    }

    pub(super) fn by_id(&self, id: u32) -> Option<&AddedToken> {
        self.by_id.get(&id)
    }

    /// The first added token in `text` and its position in bytes; the longest of those that start
    /// there.
    pub(super) fn find(&self, text: &str) -> Option<(usize, &AddedToken)> {
        text.char_indices().find_map(|(at, _)| {
            let (before, rest) = text.split_at(at);
            let (length, id) = self.ids.longest(rest)?;
            let after = rest.get(length..)?;
            let alone = (before.is_empty() || before.ends_with(' '))
                && (after.is_empty() || after.starts_with(' '));
            self.by_id(id).filter(|token| alone || !token.single_word).map(|token| (at, token))
        })
    }

    /// Cuts `text` at its added tokens as the slow tokenizers of `transformers` do: stretches of
    /// ordinary text, which may be empty, each with the token that ends it (none at the end).
    pub(super) fn split<'a>(&self, text: &'a str) -> Vec<(&'a str, Option<&AddedToken>)> {
        let (mut parts, mut rest, mut strip_start) = (Vec::new(), text, false);
        loop {
            let found = self.find(rest);
            let (mut part, after) = rest.split_at(found.map_or(rest.len(), |(at, _)| at));
            if strip_start {
                part = part.trim_start_matches(is_python_space);
            }
            let token = found.map(|(_, token)| token);
            if token.is_some_and(|token| token.lstrip) {
                part = part.trim_end_matches(is_python_space);
            }
            parts.push((part, token));
            let Some(token) = token else { return parts };
            rest = after.get(token.content.len()..).unwrap_or_default();
            strip_start = token.rstrip;
        }
    }

    /// The text of ids: added tokens as they are written, and what `decode` makes of the runs between
    /// them.
    pub(super) fn join(
        &self,
        ids: &[u32],
        skip_special: bool,
        mut decode: impl FnMut(&[u32]) -> Result<String>,
    ) -> Result<String> {
        let mut text = String::new();
        let is_added = |id: u32| self.by_id.contains_key(&id);
        for run in ids.chunk_by(|&a, &b| !is_added(a) && !is_added(b)) {
            match run.first().and_then(|&id| self.by_id(id)) {
                Some(token) if token.special && skip_special => {}
                Some(token) => text.push_str(&token.content),
                None => text.push_str(&decode(run)?),
            }
        }
        Ok(text)
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

    /// The parts of `text` with each token between bars.
    fn split(text: &str) -> String {
        let mut tokens = AddedTokens::default();
        for token in [
            AddedToken::special("<|a|>", 1),
            AddedToken::special("<|a|>b", 2),
            AddedToken { lstrip: true, rstrip: true, ..AddedToken::special("<e>", 3) },
            AddedToken { single_word: true, ..AddedToken::special("cat", 4) },
        ] {
            tokens.insert(token).unwrap();
        }
        let parts = tokens.split(text).into_iter();
        parts
            .map(|(part, token)| match token {
                Some(token) => format!("{part}/{}/", token.content),
                None => part.to_owned(),
            })
            .collect()
    }

    /// Expected values: `PreTrainedTokenizer.tokenize` of transformers, worked through by hand.
    #[test]
    fn text_is_cut_at_the_longest_leftmost_token_and_flags_apply() {
        assert_eq!(split("x<|a|>by<|a|>c"), "x/<|a|>b/y/<|a|>/c");
        assert_eq!(split(""), "");
        assert_eq!(split("<|a|><|a|>"), "/<|a|>//<|a|>/");
        assert_eq!(split("x \u{a0}<e>\n\u{1f} y "), "x/<e>/y ");
        assert_eq!(split(" <e> "), "/<e>/");
        assert_eq!(split("a cat sat"), "a /cat/ sat");
        assert_eq!(split("concat sat"), "concat sat");
        assert_eq!(split("cats sat"), "cats sat");
    }
}
