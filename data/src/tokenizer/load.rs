//! Choosing among a folder's formats and putting the parts together.

use super::Tokenizer;
use super::added::AddedTokens;
use super::byte_pair::BytePair;
use super::config::{Config, Defaults};
use super::engine::Engine;
use super::error::{TokenizerError, content};
use super::files::{self, CONFIG, JSON, MERGES, SENTENCEPIECE, VOCAB};
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
        let config = Config::read(dir)?;
        let has = |name: &&str| dir.join(name).is_file();
        let read = |name: &'static str| files::read(&dir.join(name)).map(|bytes| (name, bytes));
        let adds_bos = config.flag("add_bos_token");
        let mut added = AddedTokens::default();
        if has(&SENTENCEPIECE) {
            let source = read(SENTENCEPIECE)?;
            let model = SentencePiece::parse(&dir.join(SENTENCEPIECE), &source.1)?;
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
            Self::assemble(Box::new(model), added, config, defaults, vec![source], adds_bos)
        } else if has(&VOCAB) && has(&MERGES) {
            let sources = vec![read(VOCAB)?, read(MERGES)?];
            let unk = config.role("unk_token", QWEN2);
            let model = BytePair::from_vocab(dir, &sources[0].1, &sources[1].1, unk)?;
            Self::assemble(Box::new(model), added, config, QWEN2, sources, false)
        } else if has(&JSON) {
            let source = read(JSON)?;
            let model = BytePair::from_json(dir, &source.1, &mut added)?;
            let adds_bos = adds_bos.unwrap_or(false);
            Self::assemble(Box::new(model), added, config, &[], vec![source], adds_bos)
        } else {
            let lone = [VOCAB, MERGES].into_iter().find(has);
            Err(TokenizerError::Content {
                path: dir.to_owned(),
                expected: format!(
                    "a tokenizer: `{SENTENCEPIECE}`, or `{VOCAB}` with `{MERGES}`, or `{JSON}`"
                ),
                found: lone.map_or("none of them".into(), |name| format!("only `{name}`")),
                advice: "copy the checkpoint's tokenizer files there",
            })
        }
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
