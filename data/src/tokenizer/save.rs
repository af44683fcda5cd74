//! Writing a tokenizer back in the published layout, so that the Python implementation loads a
//! trained model.

use super::Tokenizer;
use super::added::AddedToken;
use super::config::{ADDITIONAL, token_text};
use super::error::TokenizerError;
use super::files::{self, ADDED, CONFIG, SENTENCEPIECE, SPECIAL, VOCAB};
use super::special::{REJ, SEG};
use serde_json::{Map, Value, json};
use std::path::Path;

/// The Python code that `auto_map` in `tokenizer_config.json` refers to; copied along when the
/// source folder has it.
const PYTHON: [&str; 2] = ["tokenization_internlm2.py", "tokenization_internlm2_fast.py"];

impl Tokenizer {
    /// Writes the tokenizer to `dir`, which is created if need be: the vocabulary files as they
    /// were read, and `added_tokens.json`, `tokenizer_config.json` and `special_tokens_map.json`
    /// with all added tokens.
    ///
    /// Each file is replaced atomically; a crash in between leaves some files old and some new,
    /// each of them whole. A `tokenizer.json` beside a slow tokenizer's files is not copied: it
    /// would lack the tokens added since, and the published code does not read it.
    ///
    /// # Errors
    /// [`TokenizerError::Write`] naming the file.
    pub fn save(&self, dir: &Path) -> Result<(), TokenizerError> {
        files::create_dir(dir)?;
        for (name, bytes) in &self.sources {
            let json = self.engine.to_json()?;
            files::write_atomic(
                &dir.join(name),
                json.as_ref().map_or(bytes, |json| json.as_bytes()),
            )?;
        }
        for name in PYTHON {
            let (from, to) = (self.config.dir.join(name), dir.join(name));
            if from.is_file() && !to.exists() {
                files::write_atomic(&to, &files::read(&from)?)?;
            }
        }
        files::write_json(&dir.join(ADDED), &self.added_json())?;
        files::write_json(&dir.join(SPECIAL), &self.special_json())?;
        files::write_json(&dir.join(CONFIG), &self.config_json())
    }

    /// `added_tokens.json`: the tokens whose ids lie beyond the base vocabulary, as Python writes
    /// it, and those of the source file.
    fn added_json(&self) -> Value {
        let written = |token: &&AddedToken| {
            token.id as usize >= self.engine.len() || self.config.added.contains_key(&token.content)
        };
        let tokens = self.added.iter().filter(written);
        tokens.map(|token| (token.content.clone(), Value::from(token.id))).collect()
    }

    fn special_json(&self) -> Value {
        let mut map = self.config.special_map.clone();
        self.extend_additional(&mut map, |token| {
            let mut entry = json!(token);
            entry.as_object_mut().map(|entry| entry.remove("special")); // implied by the file
            entry
        });
        Value::Object(map)
    }

    fn config_json(&self) -> Value {
        let mut map = self.config.config.clone();
        let decoder: Map<String, Value> =
            self.added.iter().map(|token| (token.id.to_string(), json!(token))).collect();
        map.insert("added_tokens_decoder".into(), Value::Object(decoder));
        // With the list above, Python takes the special tokens from this file alone.
        for (role, value) in &self.config.special_map {
            let value: Value = match value {
                Value::Array(list) => list.iter().filter_map(token_text).collect(),
                one => token_text(one).into(),
            };
            if !value.is_null() {
                map.entry(role).or_insert(value);
            }
        }
        self.extend_additional(&mut map, |token| Value::from(token.content.clone()));
        let class = match self.sources.first() {
            Some((SENTENCEPIECE, _)) => Some("LlamaTokenizer"),
            Some((VOCAB, _)) => Some("Qwen2Tokenizer"),
            _ => None,
        };
        if let Some(class) = class {
            map.entry("tokenizer_class").or_insert(class.into());
        }
        // Python's "no limit" is the integer of 1e30, which is beyond a JSON reader's integers
        // here; absent means the same.
        if map.get("model_max_length").and_then(Value::as_f64).is_some_and(|length| length >= 1e18)
        {
            map.remove("model_max_length");
        }
        Value::Object(map)
    }

    /// Appends the special tokens added since loading to `additional_special_tokens`.
    fn extend_additional(
        &self,
        map: &mut Map<String, Value>,
        entry: impl Fn(&AddedToken) -> Value,
    ) {
        let list = map.entry(ADDITIONAL).or_insert_with(|| json!([]));
        if !list.is_array() {
            *list = json!([]);
        }
        let Value::Array(list) = list else { return };
        for token in self.added.iter().filter(|token| [SEG, REJ].contains(&&*token.content)) {
            if token.special && !list.iter().any(|known| token_text(known) == Some(&token.content))
            {
                list.push(entry(token));
            }
        }
    }
}
