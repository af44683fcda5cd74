//! Writing a tokenizer back in the published layout, so that the Python implementation loads a
//! trained model.

use super::config::{ADDED, CONFIG, SPECIAL, token_text};
use super::load::JSON;
use super::{AddedToken, Engine, Tokenizer, TokenizerError, files};
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
        std::fs::create_dir_all(dir)
            .map_err(|source| TokenizerError::Write { path: dir.to_owned(), source })?;
        for (name, bytes) in &self.sources {
            match &self.engine {
                Engine::Json(inner) => {
                    files::write_atomic(&dir.join(name), &inner.to_bytes(&self.path(JSON))?)?;
                }
                _ => files::write_atomic(&dir.join(name), bytes)?,
            }
        }
        for name in PYTHON {
            let (from, to) = (self.path(name), dir.join(name));
            if from.is_file() && !to.exists() {
                files::write_atomic(&to, &files::read(&from)?)?;
            }
        }
        self.write_json(dir, ADDED, self.added_json())?;
        self.write_json(dir, SPECIAL, self.special_json())?;
        self.write_json(dir, CONFIG, self.config_json())
    }

    fn write_json(
        &self,
        dir: &Path,
        name: &str,
        map: Map<String, Value>,
    ) -> Result<(), TokenizerError> {
        let path = dir.join(name);
        let mut bytes = serde_json::to_vec_pretty(&map)
            .map_err(|source| TokenizerError::Json { path: path.clone(), source })?;
        bytes.push(b'\n');
        files::write_atomic(&path, &bytes)
    }

    /// `added_tokens.json`: the tokens whose ids lie beyond the base vocabulary, as Python writes
    /// it, and those of the source file.
    fn added_json(&self) -> Map<String, Value> {
        use super::config::Base;
        let base = match &self.engine {
            Engine::Json(json) => json.model_len(),
            other => other.len(),
        };
        let written = |token: &&AddedToken| {
            token.id as usize >= base || self.config.added.contains_key(&token.content)
        };
        let tokens = self.added.all().iter().filter(written);
        tokens.map(|token| (token.content.clone(), token.id.into())).collect()
    }

    fn special_json(&self) -> Map<String, Value> {
        let mut map = self.config.special_map.clone();
        self.extend_additional(&mut map, |token| {
            let mut entry = flags(token);
            entry.remove("special"); // implied by the file
            Value::Object(entry)
        });
        map
    }

    fn config_json(&self) -> Map<String, Value> {
        let mut map = self.config.config.clone();
        let decoder: Map<String, Value> = self
            .added
            .all()
            .iter()
            .map(|token| (token.id.to_string(), Value::Object(flags(token))))
            .collect();
        map.insert("added_tokens_decoder".into(), Value::Object(decoder));
        // With the list above, Python takes the special tokens from this file alone.
        for (role, value) in &self.config.special_map {
            if role != "additional_special_tokens"
                && !map.contains_key(role)
                && let Some(text) = token_text(value)
            {
                map.insert(role.clone(), text.into());
            }
        }
        let listed = self.config.special_map.get("additional_special_tokens");
        if let (None, Some(Value::Array(listed))) = (map.get("additional_special_tokens"), listed) {
            let names = listed.iter().filter_map(token_text).map(Value::from).collect();
            map.insert("additional_special_tokens".into(), Value::Array(names));
        }
        self.extend_additional(&mut map, |token| Value::from(token.content.clone()));
        if !map.contains_key("tokenizer_class") {
            let class = match self.engine {
                Engine::SentencePiece(_) => Some("LlamaTokenizer"),
                Engine::ByteLevel(_) => Some("Qwen2Tokenizer"),
                Engine::Json(_) => None,
            };
            map.extend(class.map(|class| ("tokenizer_class".to_string(), json!(class))));
        }
        // Python's "no limit" is the integer of 1e30, which is beyond a JSON reader's integers
        // here; absent means the same.
        if map.get("model_max_length").and_then(Value::as_f64).is_some_and(|length| length >= 1e18)
        {
            map.remove("model_max_length");
        }
        map
    }

    /// Appends the special tokens added since loading to `additional_special_tokens`.
    fn extend_additional(
        &self,
        map: &mut Map<String, Value>,
        entry: impl Fn(&AddedToken) -> Value,
    ) {
        use super::{REJ, SEG};
        let list = map.entry("additional_special_tokens").or_insert_with(|| json!([]));
        if !list.is_array() {
            *list = json!([]);
        }
        let Value::Array(list) = list else { return };
        for token in self.added.all().iter().filter(|token| [SEG, REJ].contains(&&*token.content)) {
            if token.special && !list.iter().any(|known| token_text(known) == Some(&token.content))
            {
                list.push(entry(token));
            }
        }
    }
}

/// A token's flags as `added_tokens_decoder` writes them.
fn flags(token: &AddedToken) -> Map<String, Value> {
    let value = json!({
        "content": token.content,
        "lstrip": token.lstrip,
        "normalized": token.normalized,
        "rstrip": token.rstrip,
        "single_word": token.single_word,
        "special": token.special,
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
