//! Writing a tokenizer back in the published layout, so that the Python implementation loads a
//! trained model.

use super::Tokenizer;
use super::error::TokenizerError;
use super::files::{self, ADDED, CONFIG, SENTENCEPIECE, SPECIAL, VOCAB};
use serde_json::Value;
use std::path::Path;

/// The Python code that `auto_map` in `tokenizer_config.json` refers to; copied along when the
/// source folder has it.
const PYTHON: [&str; 2] = ["tokenization_internlm2.py", "tokenization_internlm2_fast.py"];

impl Tokenizer {
    /// Writes the tokenizer to `dir`, which is created if need be: all files as they were read, with
    /// the tokens added since.
    ///
    /// Each file is replaced atomically; a crash in between leaves some files old and some new,
    /// each of them whole. A `tokenizer.json` beside a slow tokenizer's files is not copied: it
    /// would lack the tokens added since, and the published code does not read it.
    ///
    /// # Errors
    /// [`TokenizerError::File`] naming the file.
    pub fn save(&self, dir: &Path) -> Result<(), TokenizerError> {
        files::create_dir(dir)?;
        for (name, bytes) in &self.sources {
            let json = self.engine.to_json()?;
            files::write(&dir.join(name), json.as_ref().map_or(bytes, |json| json.as_bytes()))?;
        }
        for name in PYTHON {
            let (from, to) = (self.config.dir.join(name), dir.join(name));
            if from.is_file() && !to.exists() {
                files::write(&to, &files::read(&from)?)?;
            }
        }
        let mut config = self.config.config.clone();
        let class = match self.sources.first() {
            Some((SENTENCEPIECE, _)) => "LlamaTokenizer",
            Some((VOCAB, _)) => "Qwen2Tokenizer",
            _ => "PreTrainedTokenizerFast",
        };
        config.entry("tokenizer_class").or_insert(class.into());
        // Python's "no limit" is the integer of 1e30, which is beyond a JSON reader's integers
        // here; absent means the same.
        config.retain(|key, value| key != "model_max_length" || value.as_u64().is_some());
        for (name, map) in
            [(ADDED, &self.config.added), (SPECIAL, &self.config.special_map), (CONFIG, &config)]
        {
            files::write_json(&dir.join(name), &Value::Object(map.clone()))?;
        }
        Ok(())
    }
}
