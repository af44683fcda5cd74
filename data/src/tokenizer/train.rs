//! A new byte-level tokenizer from texts, for models that start from nothing.

use super::byte_level::WORDS;
use super::config::CONFIG;
use super::{IM_END, IM_START, IMG_CONTEXT, IMG_END, IMG_START, REJ, SEG};
use super::{Tokenizer, TokenizerError, files};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{
    OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, SplitDelimiterBehavior,
    Trainer,
};

/// The added tokens, in the order of the published tokenizers.
const ADDED: [&str; 13] = [
    "<|endoftext|>",
    IM_START,
    IM_END,
    IMG_START,
    IMG_END,
    IMG_CONTEXT,
    "<quad>",
    "</quad>",
    "<ref>",
    "</ref>",
    "<box>",
    "</box>",
    SEG,
];

impl Tokenizer {
    /// Learns a byte-level vocabulary of at most `vocab_size` tokens (256 of them single bytes, the
    /// added ones besides) from `texts`, writes it to `dir` in Qwen2's layout, and loads it.
    ///
    /// # Errors
    /// [`TokenizerError`] if the files cannot be written.
    pub fn train(texts: &[&str], vocab_size: usize, dir: &Path) -> Result<Self, TokenizerError> {
        let library = |error: tokenizers::Error| TokenizerError::Library {
            path: dir.to_owned(),
            message: error.to_string(),
        };
        let split =
            Split::new(SplitPattern::Regex(WORDS.into()), SplitDelimiterBehavior::Isolated, false)
                .map_err(library)?;
        let bytes = ByteLevel::new(false, false, false);
        let words = |text: &str| {
            let mut text = PreTokenizedString::from(text);
            split.pre_tokenize(&mut text)?;
            bytes.pre_tokenize(&mut text)?;
            let words = text.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
            Ok(words.into_iter().map(|(word, ..)| word.to_owned()).collect())
        };
        let trainer = BpeTrainer::builder()
            .vocab_size(vocab_size.max(256))
            .min_frequency(1)
            .show_progress(false)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let mut trainer = TrainerWrapper::from(trainer);
        trainer.feed(texts.iter(), words).map_err(library)?;
        let mut model = tokenizers::ModelWrapper::from(BPE::default());
        trainer.train(&mut model).map_err(library)?;
        write(&model, dir)?;
        Self::from_dir(dir)
    }
}

/// `vocab.json`, `merges.txt` and `tokenizer_config.json`.
fn write(model: &tokenizers::ModelWrapper, dir: &Path) -> Result<(), TokenizerError> {
    let value = serde_json::to_value(model)
        .map_err(|source| TokenizerError::Json { path: dir.to_owned(), source })?;
    let vocab = value.get("vocab").and_then(Value::as_object).cloned().unwrap_or_default();
    let merges = value.get("merges").and_then(Value::as_array).cloned().unwrap_or_default();
    // Rank by rank: "left right".
    let merges = merges.iter().map(|pair| match pair {
        Value::Array(pair) => {
            let parts: Vec<&str> = pair.iter().filter_map(Value::as_str).collect();
            parts.join(" ")
        }
        other => other.as_str().unwrap_or_default().to_owned(),
    });
    let merges: String =
        std::iter::once("#version: 0.2".to_owned()).chain(merges).map(|line| line + "\n").collect();
    let first = vocab.len();
    let mut by_id: BTreeMap<u64, String> = BTreeMap::new();
    by_id.extend(vocab.into_iter().filter_map(|(token, id)| Some((id.as_u64()?, token))));
    let vocab: Map<String, Value> =
        by_id.into_iter().map(|(id, token)| (token, Value::from(id))).collect();
    let added: Map<String, Value> = ADDED
        .into_iter()
        .chain([REJ])
        .enumerate()
        .map(|(index, content)| {
            let token = json!({
                "content": content, "lstrip": false, "normalized": false, "rstrip": false,
                "single_word": false, "special": true,
            });
            ((first + index).to_string(), token)
        })
        .collect();
    let config = json!({
        "tokenizer_class": "Qwen2Tokenizer",
        "added_tokens_decoder": added,
        "eos_token": IM_END,
        "pad_token": "<|endoftext|>",
        "unk_token": null,
    });
    let json = |name: &str, value: &Value| {
        let path = dir.join(name);
        let mut bytes = serde_json::to_vec_pretty(value)
            .map_err(|source| TokenizerError::Json { path: path.clone(), source })?;
        bytes.push(b'\n');
        files::write_atomic(&path, &bytes)
    };
    std::fs::create_dir_all(dir)
        .map_err(|source| TokenizerError::Write { path: dir.to_owned(), source })?;
    json("vocab.json", &Value::Object(vocab))?;
    files::write_atomic(&dir.join("merges.txt"), merges.as_bytes())?;
    json(CONFIG, &config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_texts_become_single_tokens_and_any_text_survives() {
        let dir = tempfile::tempdir().unwrap();
        let texts = ["the small red star", "the large blue ring above the star", "the red ring"];
        let mut tokenizer = Tokenizer::train(&texts, 400, dir.path()).unwrap();
        assert_eq!(tokenizer.add_segmentation_tokens().unwrap(), 0);
        assert_eq!(tokenizer.encode("the small red star").unwrap().len(), 4);
        let odd = "Grüße, 你好 \u{1f40d}!";
        assert_eq!(tokenizer.decode(&tokenizer.encode(odd).unwrap(), false).unwrap(), odd);
        let special = tokenizer.special_tokens().unwrap();
        assert_eq!(special.rej, special.seg + 1);
        assert_eq!(special.rej as usize + 1, tokenizer.vocab_size());
        assert_eq!(tokenizer.encode("[SEG]").unwrap(), [special.seg]);
    }

    #[test]
    fn the_same_texts_give_the_same_files() {
        let files = || {
            let dir = tempfile::tempdir().unwrap();
            let texts = ["one two three two", "three four one", "five six seven eight nine"];
            Tokenizer::train(&texts, 300, dir.path()).unwrap();
            ["vocab.json", "merges.txt"].map(|name| std::fs::read(dir.path().join(name)).unwrap())
        };
        assert_eq!(files(), files());
    }
}
