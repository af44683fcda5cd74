//! Text to token ids and back, exactly as the published models' Python tokenizers do it.
//!
//! A folder may hold several formats. The first of these that is there is read, as the published
//! code does (`use_fast=False`), because the weights were trained on its ids:
//! 1. `tokenizer.model`: SentencePiece, the InternLM2 sizes;
//! 2. `vocab.json` with `merges.txt`: byte-level pairs, the Qwen2 sizes;
//! 3. `tokenizer.json`: the `tokenizers` library's format.
//!
//! In the first two, added tokens are found in the text as the slow tokenizers of `transformers`
//! find them; in the third the library decides.

mod added;
mod byte_pair;
mod chars_map;
mod config;
mod engine;
mod error;
mod files;
mod load;
mod model_proto;
mod normalizer;
mod piece_merge;
mod prefix_map;
mod save;
mod sentencepiece;
mod special;
#[cfg(test)]
pub(crate) mod tests;
mod train;

pub use added::AddedToken;
pub use error::TokenizerError;
pub use files::Reader;
pub use special::{IM_END, IM_START, IMG_CONTEXT, IMG_END, IMG_START, REJ, SEG, SpecialTokens};

use added::AddedTokens;
use config::{Config, Defaults};
use engine::Engine;
use error::content;
use std::path::Path;

/// The longest text that is tokenized at once, in bytes. A prompt has about two thousand; the
/// splitting expression's own budget of a million steps is never reached below this.
pub const MAX_TEXT_BYTES: usize = 256 << 10;

/// A tokenizer with its added tokens.
///
/// ```
/// use mllmseg_data::tokenizer::{SEG, Tokenizer};
///
/// # fn main() -> Result<(), mllmseg_data::tokenizer::TokenizerError> {
/// let tokenizer = Tokenizer::from_dir("../assets/tiny".as_ref())?; // any checkpoint folder
/// let ids = tokenizer.encode("the red star [SEG]")?;
/// assert_eq!(ids.last(), Some(&tokenizer.require(SEG)?));
/// assert_eq!(tokenizer.decode(&ids, false)?, "the red star [SEG]");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Tokenizer {
    engine: Box<dyn Engine>,
    added: AddedTokens,
    config: Config,
    defaults: &'static Defaults,
    /// The vocabulary files as they were read, so that saving needs no source folder.
    sources: Vec<(&'static str, Vec<u8>)>,
    adds_bos: bool,
}

impl Tokenizer {
    /// The ids of `text`, without a beginning-of-text token. Added tokens inside the text are
    /// recognised.
    ///
    /// # Errors
    /// [`TokenizerError::TextTooLong`] over [`MAX_TEXT_BYTES`].
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(TokenizerError::TextTooLong { limit: MAX_TEXT_BYTES, found: text.len() });
        }
        self.engine.encode(text, &self.added)
    }

    /// The text of `ids`; `skip_special` leaves out special tokens. Nothing is put between tokens.
    ///
    /// # Errors
    /// [`TokenizerError::UnknownId`] for an id outside the vocabulary.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, TokenizerError> {
        let vocab_size = self.vocab_size();
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= vocab_size) {
            return Err(TokenizerError::UnknownId { id, vocab_size });
        }
        self.engine.decode(ids, skip_special, &self.added)
    }

    /// The id of a token by its exact name, or `None` if there is no such token.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        // A base token whose id an added token has taken is no longer there.
        let base = || self.engine.id(token).filter(|&id| !self.is_added(id));
        self.added.id(token).or_else(base)
    }

    /// The id of a token by its exact name.
    ///
    /// # Errors
    /// [`TokenizerError::MissingToken`], which says what to do.
    pub fn require(&self, token: &str) -> Result<u32, TokenizerError> {
        self.token_id(token).ok_or_else(|| TokenizerError::MissingToken {
            token: token.to_owned(),
            dir: self.config.dir.clone(),
        })
    }

    /// The number of ids, added tokens included: the rows that the embedding table must have.
    pub fn vocab_size(&self) -> usize {
        config::next_id(&self.added, self.engine.as_ref()) as usize
    }

    /// The folder that the tokenizer was loaded from.
    pub fn dir(&self) -> &Path {
        &self.config.dir
    }

    /// The added tokens, by ascending id.
    pub fn added_tokens(&self) -> impl Iterator<Item = &AddedToken> {
        self.added.iter()
    }

    /// The added token that occurs first in `text`, if any does.
    pub fn find_added(&self, text: &str) -> Option<&AddedToken> {
        self.added.find(text).map(|(_, token)| token)
    }

    /// The id that starts a text, if the tokenizer has one.
    pub fn bos_id(&self) -> Option<u32> {
        self.role_id("bos_token")
    }

    /// The id that ends a text, if the tokenizer has one.
    pub fn eos_id(&self) -> Option<u32> {
        self.role_id("eos_token")
    }

    /// The id that the tokenizer pads with, if it has one. Training batches are padded with id 0
    /// whatever this says.
    pub fn pad_id(&self) -> Option<u32> {
        self.role_id("pad_token")
    }

    /// The id that stands for text outside the vocabulary, if the tokenizer has one.
    pub fn unk_id(&self) -> Option<u32> {
        self.role_id("unk_token")
    }

    fn role_id(&self, role: &str) -> Option<u32> {
        self.token_id(self.config.role(role, self.defaults)?)
    }

    /// Whether an id belongs to an added token.
    pub fn is_added(&self, id: u32) -> bool {
        self.added.by_id(id).is_some()
    }

    /// Whether a prompt starts with [`Tokenizer::bos_id`] (InternLM2: yes; Qwen2: no).
    pub fn adds_bos(&self) -> bool {
        self.adds_bos && self.bos_id().is_some()
    }

    /// Whether a text is read as if a space were before it, as `tokenizer.model` says; `None` for other
    /// formats.
    pub fn adds_prefix_space(&self) -> Option<bool> {
        self.engine.adds_prefix_space()
    }

    /// The tokens that the model gives a meaning of its own.
    ///
    /// # Errors
    /// [`TokenizerError::MissingToken`] for the first one that is absent. Base models lack `[SEG]`
    /// and `[REJ]`: [`Tokenizer::add_segmentation_tokens`] adds them.
    pub fn special_tokens(&self) -> Result<SpecialTokens, TokenizerError> {
        Ok(SpecialTokens {
            img_start: self.require(IMG_START)?,
            img_end: self.require(IMG_END)?,
            img_context: self.require(IMG_CONTEXT)?,
            seg: self.require(SEG)?,
            rej: self.require(REJ)?,
            eos: self.eos_id(),
        })
    }

    /// Appends `[SEG]` and `[REJ]`, in this order, as the next ids; a token that is there already
    /// keeps its id.
    ///
    /// For base models, whose embedding table must grow by as many rows as this returns (0 to 2).
    ///
    /// # Errors
    /// [`TokenizerError::Content`] if `tokenizer.json` would number them differently.
    pub fn add_segmentation_tokens(&mut self) -> Result<usize, TokenizerError> {
        let before = self.vocab_size();
        for name in [SEG, REJ] {
            if self.token_id(name).is_none() {
                let id = config::next_id(&self.added, self.engine.as_ref());
                let token = AddedToken::special(name, id);
                self.config.extend(&token);
                let inserted = self.added.insert(token);
                inserted.map_err(|conflict| {
                    content(self.dir(), format!("room for {name}"), conflict)
                })?;
            }
        }
        self.engine.add(&self.added)?;
        Ok(self.vocab_size() - before)
    }
}
