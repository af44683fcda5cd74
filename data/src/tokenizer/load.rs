//! Choosing among a folder's formats and putting the parts together.

use super::Tokenizer;
use super::added::AddedTokens;
use super::byte_pair::BytePair;
use super::config::{Config, Defaults};
use super::engine::Engine;
use super::error::{TokenizerError, content};
use super::files::{self, CONFIG, JSON, MERGES, Reader, SENTENCEPIECE, VOCAB};
use super::sentencepiece::SentencePiece;
use std::path::Path;

/// The special tokens of the Python classes, where no file says otherwise.
const LLAMA: &Defaults = &[("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>")];

const INTERNLM2: &Defaults =
    &[("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>"), ("pad_token", "</s>")];

const QWEN2: &Defaults = &[
    ("eos_token", "<|endoftext|>"),
    ("unk_token", "<|endoftext|>"),
    ("pad_token", "<|endoftext|>"),
];

impl Tokenizer {
    /// Loads the tokenizer of a checkpoint folder.
    ///
    /// # Errors
    /// [`TokenizerError`], naming the file: no known format, unreadable or damaged files, ids that
    /// clash or leave a gap.
    pub fn from_dir(dir: &Path) -> Result<Self, TokenizerError> {
        Self::from_files(dir, &|name| files::read_optional(&dir.join(name)))
    }

    /// As [`from_dir`](Self::from_dir), of files that are not on the disk: `read` gives the bytes of one by
    /// its name, if it is there. `dir` is only named in errors.
    ///
    /// # Errors
    /// As [`from_dir`](Self::from_dir), and those of `read`.
    pub fn from_files(dir: &Path, read: Reader) -> Result<Self, TokenizerError> {
        let config = Config::read(dir, read)?;
        let adds_bos = config.flag("add_bos_token");
        let mut added = AddedTokens::default();
        if let Some(bytes) = read(SENTENCEPIECE)? {
            let model = SentencePiece::parse(&dir.join(SENTENCEPIECE), &bytes)?;
            let llama = config.class() == Some("LlamaTokenizer");
            if llama && config.flag("legacy") == Some(false) {
                let expected = "the spaces of InternLM2 (`\"legacy\": true`)";
                let path = dir.join(CONFIG);
                return Err(content(&path, expected, "`\"legacy\": false`"));
            }
            // Both Python classes start a text with `<s>` unless the configuration says otherwise.
            let adds_bos = adds_bos.unwrap_or(true);
            let defaults =
                if config.class() == Some("InternLM2Tokenizer") { INTERNLM2 } else { LLAMA };
            let sources = vec![(SENTENCEPIECE, bytes)];
            return Self::assemble(Box::new(model), added, config, defaults, sources, adds_bos);
        }
        let lone = match (read(VOCAB)?, read(MERGES)?) {
            (Some(vocab), Some(merges)) => {
                let unk = config.role("unk_token", QWEN2);
                let model = BytePair::from_vocab(dir, &vocab, &merges, unk)?;
                let sources = vec![(VOCAB, vocab), (MERGES, merges)];
                return Self::assemble(Box::new(model), added, config, QWEN2, sources, false);
            }
            (vocab, merges) => vocab.map(|_| VOCAB).or(merges.map(|_| MERGES)),
        };
        if let Some(bytes) = read(JSON)? {
            let model = BytePair::from_json(dir, &bytes, &mut added)?;
            let adds_bos =
                adds_bos.unwrap_or_else(|| model.starts_texts_with(config.role("bos_token", &[])));
            let sources = vec![(JSON, bytes)];
            return Self::assemble(Box::new(model), added, config, &[], sources, adds_bos);
        }
        Err(TokenizerError::Content {
            path: dir.to_owned(),
            expected: format!(
                "a tokenizer: `{SENTENCEPIECE}`, or `{VOCAB}` with `{MERGES}`, or `{JSON}`"
            ),
            found: lone.map_or("none of them".into(), |name| format!("only `{name}`")),
            advice: "copy the checkpoint's tokenizer files there",
        })
    }

    fn assemble(
        mut engine: Box<dyn Engine>,
        mut added: AddedTokens,
        config: Config,
        defaults: &'static Defaults,
        sources: Vec<(&'static str, Vec<u8>)>,
        adds_bos: bool,
    ) -> Result<Self, TokenizerError> {
        config.complete(&mut added, engine.as_ref(), defaults)?;
        engine.add(&added)?;
        Ok(Self { engine, added, config, defaults, sources, adds_bos })
    }
}
