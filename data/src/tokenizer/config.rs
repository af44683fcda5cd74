//! What the JSON files beside a vocabulary say: added tokens, special tokens, switches.
//!
//! As in `transformers`, `added_tokens_decoder` of `tokenizer_config.json` is the authority on
//! flags; a folder without it is an older one, where `added_tokens.json` has the ids and
//! `special_tokens_map.json` the special tokens. Both are read, and must agree on ids.

use super::added::AddedToken;
use super::{TokenizerError, files};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub(super) const CONFIG: &str = "tokenizer_config.json";
pub(super) const ADDED: &str = "added_tokens.json";
pub(super) const SPECIAL: &str = "special_tokens_map.json";

/// The single special tokens, in the order in which `transformers` gives ids to those that have
/// none.
const ROLES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// The most added tokens a folder may declare.
const MAX_ADDED: usize = 1 << 16;

/// The JSON files of a folder, empty where absent, and what is read from them.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) dir: PathBuf,
    pub(super) config: Map<String, Value>,
    pub(super) special_map: Map<String, Value>,
    pub(super) added: Map<String, Value>,
}

impl Config {
    pub(super) fn read(dir: &Path) -> Result<Self, TokenizerError> {
        Ok(Self {
            dir: dir.to_owned(),
            config: files::optional_json(dir, CONFIG)?.unwrap_or_default(),
            special_map: files::optional_json(dir, SPECIAL)?.unwrap_or_default(),
            added: files::optional_json(dir, ADDED)?.unwrap_or_default(),
        })
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

    /// The text of a special token such as `bos_token`; `default` where no file mentions the role.
    ///
    /// A `null` in the files means that there is none, whatever the default.
    pub(super) fn role<'a>(&'a self, role: &str, default: Option<&'a str>) -> Option<&'a str> {
        match self.role_value(role) {
            Some(value) => token_text(value),
            None => default,
        }
    }

    fn role_value(&self, role: &str) -> Option<&Value> {
        let (first, second) = if self.config.contains_key("added_tokens_decoder") {
            (&self.config, &self.special_map)
        } else {
            (&self.special_map, &self.config)
        };
        first.get(role).or_else(|| second.get(role))
    }

    /// Every special token by name: the single roles in their order, then the additional ones.
    pub(super) fn special_values(&self, defaults: &[(&'static str, &'static str)]) -> Vec<Value> {
        let mut values = Vec::new();
        for role in ROLES {
            let default = defaults.iter().find(|(name, _)| *name == role);
            match self.role_value(role) {
                Some(value) => values.push(value.clone()),
                None => values.extend(default.map(|(_, token)| Value::from(*token))),
            }
        }
        if let Some(Value::Array(additional)) = self.role_value("additional_special_tokens") {
            values.extend(additional.iter().cloned());
        }
        values.retain(|value| token_text(value).is_some_and(|text| !text.is_empty()));
        values
    }

    /// All added tokens with their ids, checked against each other and against the base vocabulary.
    ///
    /// `base_len` ids belong to the base vocabulary; `base_id` looks a token up there, `base_token`
    /// an id, and `placeholder` says whether an added token may take over a base id. `defaults` are
    /// the special tokens that the tokenizer's class has when no file says otherwise.
    pub(super) fn added_tokens(
        &self,
        base: &dyn Base,
        defaults: &[(&'static str, &'static str)],
    ) -> Result<Vec<AddedToken>, TokenizerError> {
        let specials = self.special_values(defaults);
        let mut table = Table {
            config: self,
            base,
            tokens: Vec::new(),
            ids: HashMap::new(),
            owners: HashMap::new(),
            next: base.len(),
        };
        let config_path = self.dir.join(CONFIG);
        if let Some(decoder) = self.config.get("added_tokens_decoder") {
            let Value::Object(decoder) = decoder else {
                let expected = "an object under `added_tokens_decoder`";
                return Err(content(&config_path, expected, files::kind(decoder).into()));
            };
            for (id, value) in decoder {
                let token = decoder_entry(&config_path, id, value)?;
                table.insert(&config_path, token)?;
            }
        }
        let added_path = self.dir.join(ADDED);
        for (text, id) in &self.added {
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| {
                content(&added_path, "a whole number as each token's id", format!("`{text}`: {id}"))
            })?;
            let special = specials.iter().any(|value| token_text(value) == Some(text));
            let token =
                AddedToken { special, normalized: !special, ..AddedToken::special(text, id) };
            table.insert(&added_path, token)?;
        }
        // A special token that no list has: its id in the base vocabulary, or else the next free
        // one.
        for value in &specials {
            let Some(text) = token_text(value) else {
                continue;
            };
            if table.ids.contains_key(text) {
                continue;
            }
            let id = base.id(text).map_or_else(|| table.next_id(), Ok)?;
            let token = flags(value, AddedToken::special(text, id));
            table.insert(&self.dir.join(SPECIAL), AddedToken { special: true, ..token })?;
        }
        table.check_holes()?;
        Ok(table.tokens)
    }
}

/// The base vocabulary, as far as added tokens are concerned.
pub(super) trait Base {
    /// The ids `0..len` are taken.
    fn len(&self) -> usize;
    /// A base token's id.
    fn id(&self, token: &str) -> Option<u32>;
    /// A base id's token.
    fn token(&self, id: u32) -> Option<String>;
    /// Whether an added token may take over this base id.
    fn is_placeholder(&self, id: u32) -> bool;
}

struct Table<'a> {
    config: &'a Config,
    base: &'a dyn Base,
    tokens: Vec<AddedToken>,
    ids: HashMap<String, u32>,
    owners: HashMap<u32, String>,
    /// One more than the largest id so far.
    next: usize,
}

impl Table<'_> {
    fn insert(&mut self, path: &Path, token: AddedToken) -> Result<(), TokenizerError> {
        let conflict = |conflict: String| TokenizerError::IdConflict {
            path: path.to_owned(),
            token: token.content.clone(),
            id: token.id,
            conflict,
        };
        if token.content.is_empty() || token.content.len() > 1024 || self.tokens.len() == MAX_ADDED
        {
            let expected = format!("at most {MAX_ADDED} added tokens of 1 to 1024 bytes");
            let found = format!("one of {} bytes with id {}", token.content.len(), token.id);
            return Err(content(path, &expected, found));
        }
        match self.ids.get(&token.content) {
            Some(&known) if known == token.id => return Ok(()), // the first file's flags stand
            Some(&known) => return Err(conflict(format!("the token has id {known} already"))),
            None => {}
        }
        if let Some(other) = self.owners.get(&token.id) {
            return Err(conflict(format!("`{other}` has that id already")));
        }
        if let Some(known) = self.base.id(&token.content).filter(|&known| known != token.id) {
            return Err(conflict(format!("the base vocabulary gives it id {known}")));
        }
        if let Some(other) = self.base.token(token.id).filter(|other| *other != token.content)
            && !self.base.is_placeholder(token.id)
            && !is_reserved_name(&other)
        {
            return Err(conflict(format!("the base vocabulary has `{other}` there")));
        }
        self.ids.insert(token.content.clone(), token.id);
        self.owners.insert(token.id, token.content.clone());
        self.next = self.next.max(token.id as usize + 1);
        self.tokens.push(token);
        Ok(())
    }

    fn next_id(&self) -> Result<u32, TokenizerError> {
        u32::try_from(self.next).map_err(|_| {
            let found = format!("the next one as {}", self.next);
            content(&self.config.dir, "ids below 4294967296", found)
        })
    }

    fn check_holes(&self) -> Result<(), TokenizerError> {
        let mut beyond: Vec<&AddedToken> =
            self.tokens.iter().filter(|token| token.id as usize >= self.base.len()).collect();
        beyond.sort_by_key(|token| token.id);
        let Some(last) = beyond.last() else {
            return Ok(());
        };
        for (token, expected) in beyond.iter().zip(self.base.len()..) {
            if token.id as usize != expected {
                return Err(TokenizerError::IdHole {
                    dir: self.config.dir.clone(),
                    missing: u32::try_from(expected).unwrap_or(u32::MAX),
                    max: last.id,
                    token: last.content.clone(),
                });
            }
        }
        Ok(())
    }
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
pub(super) fn token_text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Object(map) => map.get("content")?.as_str(),
        _ => None,
    }
}

fn flags(value: &Value, token: AddedToken) -> AddedToken {
    let flag =
        |name: &str, default: bool| value.get(name).and_then(Value::as_bool).unwrap_or(default);
    AddedToken {
        lstrip: flag("lstrip", token.lstrip),
        rstrip: flag("rstrip", token.rstrip),
        single_word: flag("single_word", token.single_word),
        normalized: flag("normalized", token.normalized),
        special: flag("special", token.special),
        ..token
    }
}

fn decoder_entry(path: &Path, id: &str, value: &Value) -> Result<AddedToken, TokenizerError> {
    let number: u32 = id.parse().map_err(|_| {
        content(path, "whole numbers as the keys of `added_tokens_decoder`", format!("`{id}`"))
    })?;
    let text = value.is_object().then(|| token_text(value)).flatten().ok_or_else(|| {
        let expected = format!("an object with `content` under `added_tokens_decoder.{id}`");
        content(path, &expected, files::kind(value).into())
    })?;
    Ok(flags(value, AddedToken { special: false, ..AddedToken::special(text, number) }))
}

fn content(path: &Path, expected: &str, found: String) -> TokenizerError {
    TokenizerError::Content {
        path: path.to_owned(),
        expected: expected.into(),
        found,
        advice: "correct the entry or copy the file from the checkpoint again".into(),
    }
}
