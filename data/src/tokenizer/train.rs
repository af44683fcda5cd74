//! A new byte-level tokenizer from texts, for models that start from nothing.

use super::Tokenizer;
use super::added::AddedToken;
use super::byte_pair::words;
use super::error::{TokenizerError, library};
use super::files::{self, CONFIG, MERGES, VOCAB};
use super::special::{IM_END, IM_START, IMG_CONTEXT, IMG_END, IMG_START, REJ, SEG};
use crate::files::FileError;
use serde_json::{Map, Value, json};
use std::path::Path;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{Model, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, Trainer};

/// The added tokens, in the order of the published tokenizers.
const ADDED: [&str; 14] = [
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
    REJ,
];

impl Tokenizer {
    /// Learns a byte-level vocabulary of at most `vocab_size` tokens (256 of them single bytes, the
    /// added ones besides) from `texts`, writes it to `dir` in Qwen2's layout, and loads it.
    ///
    /// # Errors
    /// [`TokenizerError`] if the files cannot be written.
    pub fn train(texts: &[&str], vocab_size: usize, dir: &Path) -> Result<Self, TokenizerError> {
        let library = library(dir);
        let splits = words().map_err(&library)?;
        let words = |text: &str| {
            let mut text = PreTokenizedString::from(text);
            splits.iter().try_for_each(|split| split.pre_tokenize(&mut text))?;
            let words = text.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
            Ok(words.into_iter().map(|(word, ..)| word.to_owned()).collect())
        };
        let mut trainer = BpeTrainer::builder()
            .vocab_size(vocab_size.max(256))
            .min_frequency(1)
            .show_progress(false)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        trainer.feed(texts.iter(), words).map_err(&library)?;
        let mut model = BPE::default();
        trainer.train(&mut model).map_err(&library)?;
        write(&model, dir)?;
        Self::from_dir(dir)
    }
}

/// `vocab.json`, `merges.txt` and `tokenizer_config.json`.
fn write(model: &BPE, dir: &Path) -> Result<(), TokenizerError> {
    files::create_dir(dir)?;
    // The library writes in place: its files get their names only when they are whole.
    let staging = tempfile::tempdir_in(dir).map_err(FileError::at(dir))?;
    model.save(staging.path(), None).map_err(library(dir))?;
    for name in [VOCAB, MERGES] {
        files::write(&dir.join(name), &files::read(&staging.path().join(name))?)?;
    }
    let first = model.get_vocab_size();
    let token =
        |(id, content): (usize, &&str)| (id.to_string(), json!(AddedToken::special(content, 0)));
    let added: Map<String, Value> = (first..).zip(&ADDED).map(token).collect();
    let config = json!({
        "tokenizer_class": "Qwen2Tokenizer",
        "added_tokens_decoder": added,
        "eos_token": IM_END,
        "pad_token": "<|endoftext|>",
        "unk_token": null,
    });
    Ok(files::write_json(&dir.join(CONFIG), &config)?)
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
