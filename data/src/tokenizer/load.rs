//! Choosing among a folder's formats and putting the parts together.

use super::added::{AddedToken, AddedTokens};
use super::byte_level::ByteLevel;
use super::config::{Base, Config, token_text};
use super::json::Json;
use super::sentencepiece::{ModernSpaces, SentencePiece};
use super::{Engine, Tokenizer, TokenizerError, files};
use std::collections::HashSet;
use std::path::Path;

const SENTENCEPIECE: &str = "tokenizer.model";
const VOCAB: &str = "vocab.json";
const MERGES: &str = "merges.txt";
pub(super) const JSON: &str = "tokenizer.json";

impl Tokenizer {
    /// Loads the tokenizer of a checkpoint folder.
    ///
    /// # Errors
    /// [`TokenizerError`], naming the file: no known format, unreadable or damaged files, ids that
    /// clash or leave a gap.
    pub fn from_dir(dir: &Path) -> Result<Self, TokenizerError> {
        let config = Config::read(dir)?;
        let has = |name: &str| dir.join(name).is_file();
        let load = |name: &'static str| files::read(&dir.join(name)).map(|bytes| (name, bytes));
        if has(SENTENCEPIECE) {
            Self::from_sentencepiece(config, load(SENTENCEPIECE)?)
        } else if has(VOCAB) && has(MERGES) {
            Self::from_byte_level(config, load(VOCAB)?, load(MERGES)?)
        } else if has(JSON) {
            Self::from_json(config, load(JSON)?)
        } else {
            let names = [VOCAB, MERGES].into_iter().filter(|name| has(name));
            let found = names.map(|name| format!("only `{name}`")).collect::<Vec<_>>().join(", ");
            let found = if found.is_empty() { "none of them".into() } else { found };
            Err(TokenizerError::NoTokenizer { dir: dir.to_owned(), found })
        }
    }

    fn from_sentencepiece(
        config: Config,
        (name, bytes): (&'static str, Vec<u8>),
    ) -> Result<Self, TokenizerError> {
        let mut model = SentencePiece::parse(&config.dir.join(name), &bytes)?;
        let llama = config.class() == Some("LlamaTokenizer");
        if llama && config.flag("legacy") == Some(false) {
            model.set_modern_spaces(ModernSpaces {
                add_prefix_space: config.flag("add_prefix_space").unwrap_or(true),
                unk: config.role("unk_token", Some("<unk>")).unwrap_or_default().to_owned(),
            });
        }
        let mut defaults =
            vec![("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>")];
        if config.class() == Some("InternLM2Tokenizer") {
            defaults.push(("pad_token", "</s>"));
        }
        let engine = Engine::SentencePiece(Box::new(model));
        let added = config.added_tokens(&engine, &defaults)?;
        // Both Python classes start a text with `<s>` unless the configuration says otherwise.
        let adds_bos = config.flag("add_bos_token").unwrap_or(true);
        Ok(Self::assemble(engine, added, config, vec![(name, bytes)], &defaults, adds_bos))
    }

    fn from_byte_level(
        config: Config,
        (vocab_name, vocab): (&'static str, Vec<u8>),
        (merges_name, merges): (&'static str, Vec<u8>),
    ) -> Result<Self, TokenizerError> {
        const END: &str = "<|endoftext|>";
        let defaults = [("eos_token", END), ("unk_token", END), ("pad_token", END)];
        let unk = config.role("unk_token", Some(END));
        let vocab_path = config.dir.join(vocab_name);
        let merges_path = config.dir.join(merges_name);
        let model = ByteLevel::parse((&vocab_path, &vocab), (&merges_path, &merges), unk)?;
        let engine = Engine::ByteLevel(Box::new(model));
        let added = config.added_tokens(&engine, &defaults)?;
        let sources = vec![(vocab_name, vocab), (merges_name, merges)];
        Ok(Self::assemble(engine, added, config, sources, &defaults, false))
    }

    fn from_json(
        config: Config,
        (name, bytes): (&'static str, Vec<u8>),
    ) -> Result<Self, TokenizerError> {
        let path = config.dir.join(name);
        let (mut json, mut added) = Json::parse(&path, &bytes)?;
        let declared = config.added_tokens(&json, &[])?;
        let mut missing: Vec<AddedToken> = declared
            .into_iter()
            .filter(|token| added.iter().all(|known| known.content != token.content))
            .collect();
        missing.sort_by_key(|token| token.id);
        for token in missing {
            json.add(&path, &token)?;
            added.push(token);
        }
        let adds_bos = config.flag("add_bos_token").unwrap_or(false);
        let engine = Engine::Json(Box::new(json));
        Ok(Self::assemble(engine, added, config, vec![(name, bytes)], &[], adds_bos))
    }

    fn assemble(
        engine: Engine,
        added: Vec<AddedToken>,
        config: Config,
        sources: Vec<(&'static str, Vec<u8>)>,
        defaults: &[(&'static str, &'static str)],
        adds_bos: bool,
    ) -> Self {
        let mut this = Self {
            engine,
            added: AddedTokens::new(added),
            config,
            sources,
            vocab_size: 0,
            bos: None,
            eos: None,
            pad: None,
            unk: None,
            adds_bos,
            named_special: HashSet::new(),
        };
        this.count();
        let id_of = |role: &str| {
            let default = defaults.iter().find(|(name, _)| *name == role).map(|(_, token)| *token);
            this.config.role(role, default).and_then(|token| this.token_id(token))
        };
        let roles = ["bos_token", "eos_token", "pad_token", "unk_token"].map(id_of);
        let named = this.config.special_values(defaults);
        let named_special =
            named.iter().filter_map(token_text).filter_map(|token| this.token_id(token)).collect();
        [this.bos, this.eos, this.pad, this.unk] = roles;
        this.named_special = named_special;
        this
    }

    pub(super) fn count(&mut self) {
        let beyond = self.added.all().last().map_or(0, |token| token.id as usize + 1);
        self.vocab_size = beyond.max(self.engine.len());
    }
}
