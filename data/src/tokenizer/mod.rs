//! Text to token ids and back, exactly as the published models' Python tokenizers do it.
//!
//! A folder may hold several formats. The one that wins is the one that the published code reads
//! (`use_fast=False`), because the weights were trained on its ids:
//! 1. `tokenizer.model`: SentencePiece, the InternLM2 sizes;
//! 2. `vocab.json` with `merges.txt`: byte-level pairs, the Qwen sizes;
//! 3. `tokenizer.json`: the `tokenizers` library's format, when neither is there.
//!
//! In the first two, a text is cut at its added tokens and each stretch is tokenized on its own, as
//! the slow tokenizers of `transformers` do; in the third the library decides.

mod added;
mod byte_level;
mod config;
mod error;
mod files;
mod json;
mod load;
mod normalizer;
mod piece_merge;
mod save;
mod sentencepiece;
mod special;
#[cfg(test)]
mod tests;
mod train;

pub use added::AddedToken;
pub use error::TokenizerError;
pub use special::{IM_END, IM_START, IMG_CONTEXT, IMG_END, IMG_START, REJ, SEG, SpecialTokens};

use added::AddedTokens;
use byte_level::ByteLevel;
use config::{Base, Config};
use json::Json;
use load::JSON;
use sentencepiece::SentencePiece;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The longest text that is tokenized at once, in bytes. A prompt has about two thousand; the
/// splitting expression's own budget of a million steps is never reached below this.
pub const MAX_TEXT_BYTES: usize = 256 << 10;

/// The base vocabulary, in one of the three formats.
#[derive(Debug)]
enum Engine {
    SentencePiece(Box<SentencePiece>),
    ByteLevel(Box<ByteLevel>),
    Json(Box<Json>),
}

/// A tokenizer with its added tokens.
#[derive(Debug)]
pub struct Tokenizer {
    engine: Engine,
    added: AddedTokens,
    config: Config,
    /// The vocabulary files as they were read, so that saving needs no source folder.
    sources: Vec<(&'static str, Vec<u8>)>,
    vocab_size: usize,
    bos: Option<u32>,
    eos: Option<u32>,
    pad: Option<u32>,
    unk: Option<u32>,
    adds_bos: bool,
    /// The tokens that the configuration lists as special by name. Python tells them from those
    /// with only the flag.
    named_special: HashSet<u32>,
}

impl Tokenizer {
    /// The ids of `text`, without a beginning-of-text token. Added tokens inside the text are
    /// recognised.
    ///
    /// # Errors
    /// [`TokenizerError::TextTooLong`] over [`MAX_TEXT_BYTES`]; [`TokenizerError::Unencodable`]
    /// where the vocabulary has neither a token for a part of the text nor an unknown token.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(TokenizerError::TextTooLong { limit: MAX_TEXT_BYTES, found: text.len() });
        }
        match &self.engine {
            Engine::SentencePiece(model) => {
                let mut ids = self.encode_parts(&model.prepare(text), |part, ids| {
                    model.encode(part, ids);
                    Ok(())
                })?;
                if let [first, second, ..] = ids.as_slice()
                    && model.is_lone_prefix(*first)
                    && self.named_special.contains(second)
                {
                    ids.remove(0);
                }
                Ok(ids)
            }
            Engine::ByteLevel(model) => {
                let text = model.prepare(text).map_err(|error| self.library(error))?;
                self.encode_parts(&text, |part, ids| model.encode(part, ids))
            }
            Engine::Json(json) => json.encode(text).map_err(|error| self.library(error)),
        }
    }

    fn encode_parts(
        &self,
        text: &str,
        encode: impl Fn(&str, &mut Vec<u32>) -> Result<(), String>,
    ) -> Result<Vec<u32>, TokenizerError> {
        let mut ids = Vec::new();
        for part in self.added.split(text) {
            match self.added.by_content(&part) {
                Some(token) => ids.push(token.id),
                None if part.is_empty() => {}
                None => encode(&part, &mut ids).map_err(|what| TokenizerError::Unencodable {
                    dir: self.config.dir.clone(),
                    what,
                })?,
            }
        }
        Ok(ids)
    }

    /// The text of `ids`; `skip_special` leaves out special tokens. Nothing is put between tokens.
    ///
    /// # Errors
    /// [`TokenizerError::UnknownId`] for an id outside the vocabulary.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, TokenizerError> {
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= self.vocab_size) {
            return Err(TokenizerError::UnknownId { id, vocab_size: self.vocab_size });
        }
        if let Engine::Json(json) = &self.engine {
            return json.decode(ids, skip_special).map_err(|error| self.library(error));
        }
        let mut text = String::new();
        for run in
            ids.chunk_by(|&a, &b| self.added.by_id(a).is_none() && self.added.by_id(b).is_none())
        {
            match run.first().and_then(|&id| self.added.by_id(id)) {
                Some(token) if token.special && skip_special => {}
                Some(token) => text.push_str(&token.content),
                None => text.push_str(&self.engine.decode(run)),
            }
        }
        Ok(text)
    }

    /// The id of a token by its exact name, or `None` if there is no such token.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.added.by_content(token).map(|token| token.id).or_else(|| {
            // A placeholder whose id an added token has taken is no token any more.
            self.engine.id(token).filter(|&id| self.added.by_id(id).is_none())
        })
    }

    /// The id of a token by its exact name.
    ///
    /// # Errors
    /// [`TokenizerError::MissingToken`], which says what to do.
    pub fn require(&self, token: &str) -> Result<u32, TokenizerError> {
        self.token_id(token).ok_or_else(|| TokenizerError::MissingToken {
            token: token.to_owned(),
            dir: self.config.dir.clone(),
            advice: special::advice(token).into(),
        })
    }

    /// The number of ids, added tokens included: the rows that the embedding table must have.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The folder that the tokenizer was loaded from.
    pub fn dir(&self) -> &Path {
        &self.config.dir
    }

    /// The added tokens, by ascending id.
    pub fn added_tokens(&self) -> &[AddedToken] {
        self.added.all()
    }

    /// The added token that occurs first in `text`, if any does.
    pub fn find_added<'a>(&'a self, text: &str) -> Option<&'a AddedToken> {
        self.added.find(text).map(|(_, token)| token)
    }

    /// The id that starts a text, if the tokenizer has one.
    pub fn bos_id(&self) -> Option<u32> {
        self.bos
    }

    /// The id that ends a text, if the tokenizer has one.
    pub fn eos_id(&self) -> Option<u32> {
        self.eos
    }

    /// The id that the tokenizer pads with, if it has one.
    pub fn pad_id(&self) -> Option<u32> {
        self.pad
    }

    /// The id that stands for text outside the vocabulary, if the tokenizer has one.
    pub fn unk_id(&self) -> Option<u32> {
        self.unk
    }

    /// Whether an id belongs to an added token.
    pub fn is_added(&self, id: u32) -> bool {
        self.added.by_id(id).is_some()
    }

    /// Whether a prompt starts with [`Tokenizer::bos_id`] (InternLM2: yes; Qwen2: no).
    pub fn adds_bos(&self) -> bool {
        self.adds_bos && self.bos.is_some()
    }

    /// Appends `[SEG]` and `[REJ]`, in this order, as the next ids; a token that is there already
    /// keeps its id.
    ///
    /// For base models, whose embedding table must grow by as many rows as this returns (0 to 2).
    ///
    /// # Errors
    /// [`TokenizerError::IdConflict`] if `tokenizer.json` would number them differently.
    pub fn add_segmentation_tokens(&mut self) -> Result<usize, TokenizerError> {
        let mut tokens = self.added.all().to_vec();
        let before = tokens.len();
        for name in [SEG, REJ] {
            if self.token_id(name).is_some() {
                continue;
            }
            let id = (self.vocab_size + tokens.len() - before) as u32;
            let token = AddedToken::special(name, id);
            if let Engine::Json(json) = &mut self.engine {
                json.add(&self.config.dir.join(JSON), &token)?;
            }
            self.named_special.insert(id);
            tokens.push(token);
        }
        let grown = tokens.len() - before;
        self.added = AddedTokens::new(tokens);
        self.count();
        Ok(grown)
    }

    fn library(&self, error: tokenizers::Error) -> TokenizerError {
        TokenizerError::Library { path: self.config.dir.clone(), message: error.to_string() }
    }

    /// The path of a file of the folder, for messages.
    fn path(&self, name: &str) -> PathBuf {
        self.config.dir.join(name)
    }
}

impl Engine {
    /// Decodes a run of base tokens. The library's format decodes whole texts instead.
    fn decode(&self, ids: &[u32]) -> String {
        match self {
            Self::SentencePiece(model) => model.decode(ids),
            Self::ByteLevel(model) => model.decode(ids),
            Self::Json(_) => String::new(),
        }
    }
}

impl Base for Engine {
    fn len(&self) -> usize {
        match self {
            Self::SentencePiece(model) => model.len(),
            Self::ByteLevel(model) => model.len(),
            Self::Json(json) => json.len(),
        }
    }

    fn id(&self, token: &str) -> Option<u32> {
        match self {
            Self::SentencePiece(model) => model.id(token),
            Self::ByteLevel(model) => model.id(token),
            Self::Json(json) => json.id(token),
        }
    }

    fn token(&self, id: u32) -> Option<String> {
        match self {
            Self::SentencePiece(model) => model.token(id).map(str::to_owned),
            Self::ByteLevel(model) => model.token(id).map(str::to_owned),
            Self::Json(json) => json.token(id),
        }
    }

    fn is_placeholder(&self, id: u32) -> bool {
        matches!(self, Self::SentencePiece(model) if model.is_placeholder(id))
    }
}
