//! What the JSON files beside a vocabulary say: added tokens, special tokens, switches.
//!
//! As in `transformers`, `added_tokens_decoder` of `tokenizer_config.json` is the authority on
//! flags; a folder without it is an older one, where `added_tokens.json` has the ids and
//! `special_tokens_map.json` the special tokens. Both are read, and must agree on ids.

use super::added::{AddedToken, AddedTokens};
use super::engine::Engine;
use super::error::{Result, content};
use super::files::{self, ADDED, CONFIG, Reader, SPECIAL};
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

const ADDITIONAL: &str = "additional_special_tokens";
const DECODER: &str = "added_tokens_decoder";

/// The single special tokens, in the order in which `transformers` gives ids to those that have
/// none.
const ROLES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// The most added tokens a folder may declare.
const MAX_ADDED: usize = 1 << 16;

/// The longest added token, in bytes.
const MAX_ADDED_BYTES: usize = 1024;

/// The special tokens that a Python class has when no file says otherwise: (role, token).
pub(super) type Defaults = [(&'static str, &'static str)];

/// The JSON files of a folder, empty where absent, and what is read from them.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) dir: PathBuf,
    pub(super) config: Map<String, Value>,
    pub(super) special_map: Map<String, Value>,
    pub(super) added: Map<String, Value>,
}

impl Config {
    pub(super) fn read(dir: &Path, read: Reader) -> Result<Self> {
        let object = |name| match read(name)? {
            Some(bytes) => files::json_object(&dir.join(name), &bytes),
            None => Ok(Map::new()),
        };
        let (config, special_map, added) = (object(CONFIG)?, object(SPECIAL)?, object(ADDED)?);
        Ok(Self { dir: dir.to_owned(), config, special_map, added })
    }

    /// A switch of `tokenizer_config.json`.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.config.get(name)?.as_bool()
    }

    /// The tokenizer's class in the Python implementation, without the `Fast` ending.
    pub(super) fn class(&self) -> Option<&str> {
        let class = self.config.get("tokenizer_class")?.as_str()?;
        Some(class.strip_suffix("Fast").unwrap_or(class))
    }

    /// The text of a special token such as `bos_token`.
    ///
    /// A `null` in the files means that there is none, whatever the default.
    pub(super) fn role<'a>(&'a self, role: &str, defaults: &'a Defaults) -> Option<&'a str> {
        match self.role_value(role) {
            Some(value) => token_text(value),
            None => defaults.iter().find(|(name, _)| *name == role).map(|(_, token)| *token),
        }
    }

    fn role_value(&self, role: &str) -> Option<&Value> {
        let (first, second) = if self.config.contains_key(DECODER) {
            (&self.config, &self.special_map)
        } else {
            (&self.special_map, &self.config)
        };
        first.get(role).or_else(|| second.get(role))
    }

    /// Every special token by name, without its id: the single roles in their order, then the
    /// additional ones.
    fn special_tokens(&self, defaults: &Defaults) -> Vec<AddedToken> {
        let roles = ROLES.into_iter().filter_map(|role| {
            let text = self.role(role, defaults)?;
            Some(self.role_value(role).cloned().unwrap_or_else(|| text.into()))
        });
        let additional = self.role_value(ADDITIONAL).and_then(Value::as_array);
        roles
            .chain(additional.into_iter().flatten().cloned())
            .filter_map(|value| {
                let text = token_text(&value)?.to_owned();
                let flags = serde_json::from_value::<AddedToken>(value).unwrap_or_default();
                Some(AddedToken { content: text, special: true, ..flags })
            })
            .filter(|token| !token.content.is_empty())
            .collect()
    }

    /// Completes `added` with the tokens of the folder's JSON files. All are checked against each
    /// other and against the base vocabulary.
    pub(super) fn complete(
        &self,
        added: &mut AddedTokens,
        base: &dyn Engine,
        defaults: &Defaults,
    ) -> Result<()> {
        let path = self.dir.join(CONFIG);
        let wrong = |found: String| {
            let expected = format!("ids with an object with `content` under `{DECODER}`");
            content(&path, expected, found)
        };
        let none = Map::new();
        let decoder = match self.config.get(DECODER) {
            Some(value) => value.as_object().ok_or_else(|| wrong(value.to_string()))?,
            None => &none,
        };
        for (id, value) in decoder {
            let token = serde_json::from_value::<AddedToken>(value.clone()).ok();
            let token = token.zip(id.parse().ok()).map(|(token, id)| AddedToken { id, ..token });
            let token = token.ok_or_else(|| wrong(format!("`{id}`: {value}")))?;
            insert(added, base, &path, token)?;
        }
        let path = self.dir.join(ADDED);
        let specials = self.special_tokens(defaults);
        let names: HashSet<&str> = specials.iter().map(|token| &*token.content).collect();
        for (text, id) in &self.added {
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| {
                let found = format!("`{text}`: {id}");
                content(&path, "a whole number as each token's id", found)
            })?;
            let special = names.contains(&**text);
            let token =
                AddedToken { special, normalized: !special, ..AddedToken::special(text, id) };
            insert(added, base, &path, token)?;
        }
        self.check_gaps(added, base)?;
        // A special token that no list has: its id in the base vocabulary, or else the next free
        // one.
        for token in specials {
            if added.id(&token.content).is_none() {
                let id = base.id(&token.content).unwrap_or(next_id(added, base));
                insert(added, base, &self.dir.join(SPECIAL), AddedToken { id, ..token })?;
            }
        }
        Ok(())
    }

    /// The ids must be 0, 1, 2, ... without a gap: they are the rows of the embedding table.
    fn check_gaps(&self, added: &AddedTokens, base: &dyn Engine) -> Result<()> {
        let beyond = added.iter().filter(|token| token.id as usize >= base.len());
        let gap = beyond.zip(base.len()..).find(|(token, id)| token.id as usize != *id);
        let (Some((_, gap)), Some(last)) = (gap, added.iter().next_back()) else { return Ok(()) };
        let (last, name) = (last.id, &last.content);
        Err(content(
            &self.dir,
            "a token for each row of the embedding table",
            format!("that id {gap} belongs to no token, but id {last} does (`{name}`)"),
        ))
    }

    /// Adds a special token to the files that list it, as Python does.
    pub(super) fn extend(&mut self, token: &AddedToken) {
        let known = self.role_value(ADDITIONAL).and_then(Value::as_array).into_iter().flatten();
        let known: Value = known.filter_map(token_text).collect();
        let append = |map: &mut Map<String, Value>, token: Value| {
            let list = map.entry(ADDITIONAL).or_insert(Value::Null);
            if !list.is_array() {
                *list = known.clone();
            }
            if let Value::Array(list) = list {
                list.push(token);
            }
        };
        let mut entry = json!(token);
        if let Some(Value::Object(decoder)) = self.config.get_mut(DECODER) {
            decoder.insert(token.id.to_string(), entry.clone());
            append(&mut self.config, token.content.clone().into());
        }
        entry.as_object_mut().map(|entry| entry.remove("special")); // implied by the file
        append(&mut self.special_map, entry);
        self.added.insert(token.content.clone(), token.id.into());
    }
}

/// The first id after all tokens.
pub(super) fn next_id(added: &AddedTokens, base: &dyn Engine) -> u32 {
    let after = added.iter().next_back().map_or(0, |token| token.id.saturating_add(1));
    after.max(u32::try_from(base.len()).unwrap_or(u32::MAX))
}

fn insert(
    added: &mut AddedTokens,
    base: &dyn Engine,
    path: &Path,
    token: AddedToken,
) -> Result<()> {
    let (text, id) = (token.content.clone(), token.id);
    if !(1..=MAX_ADDED_BYTES).contains(&text.len()) || added.len() == MAX_ADDED {
        let expected = format!("at most {MAX_ADDED} added tokens of 1 to {MAX_ADDED_BYTES} bytes");
        let found = format!("one of {} bytes with id {id}", text.len());
        return Err(content(path, expected, found));
    }
    let taken = base
        .token(id)
        .filter(|other| *other != text && !base.is_placeholder(id) && !is_reserved_name(other));
    let inserted = match (base.id(&text), taken) {
        (Some(known), _) if known != id => Err(format!("the base vocabulary gives it id {known}")),
        (_, Some(other)) => Err(format!("the base vocabulary has `{other}` there")),
        _ => added.insert(token),
    };
    inserted.map_err(|conflict| {
        let found = format!("`{text}` is given id {id}, but {conflict}");
        content(path, "one id for each token and one token for each id", found)
    })
}

/// Names under which models keep rows free for later tokens, such as InternLM2's
/// `[UNUSED_TOKEN_145]`.
fn is_reserved_name(token: &str) -> bool {
    let bracketed = matches!(token.as_bytes(), [b'[', .., b']'] | [b'<', .., b'>']);
    let lower = token.to_ascii_lowercase();
    bracketed
        && ["unused", "reserved", "extra_", "placeholder"].iter().any(|name| lower.contains(name))
}

/// The text of a token that is written as a string or as an object with `content`.
fn token_text(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}
