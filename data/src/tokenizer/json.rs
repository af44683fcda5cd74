//! `tokenizer.json`: the `tokenizers` library's own format, used when the folder has no slow
//! tokenizer's files.

use super::TokenizerError;
use super::added::AddedToken;
use super::config::Base;
use super::files;
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::path::Path;

/// A tokenizer that the `tokenizers` library runs from end to end.
#[derive(Debug)]
pub(super) struct Json {
    inner: tokenizers::Tokenizer,
    base_len: usize,
}

impl Json {
    /// Builds the tokenizer and returns it with the added tokens that the file declares.
    pub(super) fn parse(
        path: &Path,
        bytes: &[u8],
    ) -> Result<(Self, Vec<AddedToken>), TokenizerError> {
        let map = files::json_object(path, bytes)?;
        check_supported(&map).map_err(|(expected, found)| TokenizerError::Content {
            path: path.to_owned(),
            expected,
            found,
            advice: "use the checkpoint's `tokenizer.model` or `vocab.json` and `merges.txt`"
                .into(),
        })?;
        let library = |error: tokenizers::Error| TokenizerError::Library {
            path: path.to_owned(),
            message: error.to_string(),
        };
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(library)?;
        // A prompt is never cut or padded behind the caller's back.
        inner.with_truncation(None).map_err(library)?;
        inner.with_padding(None);
        let base_len = inner.get_vocab_size(false);
        let mut added = Vec::new();
        for entry in map.get("added_tokens").and_then(Value::as_array).into_iter().flatten() {
            let (Some(text), Some(id)) = (
                entry.get("content").and_then(Value::as_str),
                entry.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok()),
            ) else {
                continue; // the library has refused the file if an entry lacks one of them
            };
            // The library renumbers entries that leave a gap, and only logs it.
            if let Some(found) = inner.token_to_id(text).filter(|&found| found != id) {
                return Err(TokenizerError::IdConflict {
                    path: path.to_owned(),
                    token: text.to_owned(),
                    id,
                    conflict: format!("the next id without a gap is {found}"),
                });
            }
            let flag = |name: &str| entry.get(name).and_then(Value::as_bool).unwrap_or(false);
            added.push(AddedToken {
                content: text.to_owned(),
                id,
                lstrip: flag("lstrip"),
                rstrip: flag("rstrip"),
                single_word: flag("single_word"),
                normalized: flag("normalized"),
                special: flag("special"),
            });
        }
        Ok((Self { inner, base_len }, added))
    }

    /// Adds a token, which must get the id it names.
    pub(super) fn add(&mut self, path: &Path, token: &AddedToken) -> Result<(), TokenizerError> {
        let known = self.inner.token_to_id(&token.content);
        if known.is_none() {
            let entry = tokenizers::AddedToken::from(token.content.clone(), token.special)
                .lstrip(token.lstrip)
                .rstrip(token.rstrip)
                .single_word(token.single_word)
                .normalized(token.normalized);
            self.inner.add_tokens([entry]).map_err(|error| TokenizerError::Library {
                path: path.to_owned(),
                message: error.to_string(),
            })?;
        }
        match self.inner.token_to_id(&token.content) {
            Some(id) if id == token.id => Ok(()),
            other => Err(TokenizerError::IdConflict {
                path: path.to_owned(),
                token: token.content.clone(),
                id: token.id,
                conflict: format!("`tokenizer.json` has it at {other:?}"),
            }),
        }
    }

    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>, tokenizers::Error> {
        Ok(self.inner.encode_fast(text, false)?.get_ids().to_vec())
    }

    pub(super) fn decode(
        &self,
        ids: &[u32],
        skip_special: bool,
    ) -> Result<String, tokenizers::Error> {
        self.inner.decode(ids, skip_special)
    }

    /// The whole tokenizer, added tokens included, in its own format.
    pub(super) fn to_bytes(&self, path: &Path) -> Result<Vec<u8>, TokenizerError> {
        let text = self.inner.to_string(true).map_err(|error| TokenizerError::Library {
            path: path.to_owned(),
            message: error.to_string(),
        })?;
        Ok(text.into_bytes())
    }
}

impl Json {
    /// The number of tokens in the model itself, without the added ones.
    pub(super) fn model_len(&self) -> usize {
        self.base_len
    }
}

impl Base for Json {
    /// With the file's own added tokens: the files beside it may name only a few of them.
    fn len(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    fn is_placeholder(&self, _id: u32) -> bool {
        false
    }
}

/// Refuses what the library reads without checking and would later panic on, as (expected, found).
fn check_supported(map: &Map<String, Value>) -> Result<(), (String, String)> {
    if let Some(normalizer) = map.get("normalizer")
        && mentions(normalizer, "Precompiled")
    {
        return Err(("a normaliser without a compiled character map".into(), "one".into()));
    }
    let model = map.get("model").unwrap_or(&Value::Null);
    let kind = model.get("type").and_then(Value::as_str);
    // Older files name no type; a byte-pair model is the one with merges.
    let merges = model.get("merges").and_then(Value::as_array);
    let (Some("BPE") | None, Some(merges)) = (kind, merges) else {
        let found = kind.map_or("no model with merges".to_string(), |kind| format!("type {kind}"));
        return Err(("a model of type BPE".into(), found));
    };
    let affix = |name: &str| model.get(name).and_then(Value::as_str).is_some_and(|s| !s.is_empty());
    if affix("continuing_subword_prefix") || affix("end_of_word_suffix") {
        return Err(("pieces without a prefix or suffix mark".into(), "a mark".into()));
    }
    let empty = Map::new();
    let vocab = model.get("vocab").and_then(Value::as_object).unwrap_or(&empty);
    let mut ids = HashSet::with_capacity(vocab.len());
    for (token, id) in vocab {
        if !id.as_u64().is_some_and(|id| id < vocab.len() as u64 && ids.insert(id)) {
            let expected = format!("ids 0 to {} once each", vocab.len().saturating_sub(1));
            return Err((expected, format!("`{token}` with id {id}")));
        }
    }
    for (index, merge) in merges.iter().enumerate() {
        let pair = match merge {
            Value::String(line) => line.split_once(' '),
            Value::Array(pair) => match pair.as_slice() {
                [Value::String(left), Value::String(right)] => {
                    Some((left.as_str(), right.as_str()))
                }
                _ => None,
            },
            _ => None,
        };
        let joined = pair.map(|(left, right)| format!("{left}{right}"));
        if !joined.is_some_and(|joined| vocab.contains_key(&joined)) {
            let expected = format!("merge {index} to be a pair of tokens of the vocabulary");
            return Err((expected, merge.to_string().chars().take(60).collect()));
        }
    }
    Ok(())
}

/// Whether a normaliser or one inside it has this type.
fn mentions(normalizer: &Value, kind: &str) -> bool {
    normalizer.get("type").and_then(Value::as_str) == Some(kind)
        || normalizer
            .get("normalizers")
            .and_then(Value::as_array)
            .is_some_and(|parts| parts.iter().any(|part| mentions(part, kind)))
}
