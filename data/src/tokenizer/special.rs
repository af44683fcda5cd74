//! The tokens that the model gives a meaning of its own.

use super::{Tokenizer, TokenizerError};

/// The token whose preceding hidden state becomes a mask.
pub const SEG: &str = "[SEG]";
/// The token that stands for "nothing in the image matches".
pub const REJ: &str = "[REJ]";
/// The token before the image.
pub const IMG_START: &str = "<img>";
/// The token after the image.
pub const IMG_END: &str = "</img>";
/// The token whose embeddings the image replaces.
pub const IMG_CONTEXT: &str = "<IMG_CONTEXT>";
/// The token that opens a turn (all templates but `phi3-chat`).
pub const IM_START: &str = "<|im_start|>";
/// The token that closes a turn (all templates but `phi3-chat`).
pub const IM_END: &str = "<|im_end|>";

/// The ids of the tokens that the model gives a meaning of its own, looked up by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecialTokens {
    /// `[SEG]`.
    pub seg: u32,
    /// `[REJ]`.
    pub rej: u32,
    /// `<img>`.
    pub img_start: u32,
    /// `</img>`.
    pub img_end: u32,
    /// `<IMG_CONTEXT>`.
    pub img_context: u32,
    /// `<|im_start|>`; the tokenizers of `phi3-chat` models have none.
    pub im_start: Option<u32>,
    /// `<|im_end|>`; the tokenizers of `phi3-chat` models have none.
    pub im_end: Option<u32>,
    /// The beginning of a text; byte-level tokenizers have none.
    pub bos: Option<u32>,
    /// The end of a text.
    pub eos: Option<u32>,
    /// What the tokenizer pads with. Training batches are padded with id 0 whatever this says.
    pub pad: Option<u32>,
}

impl Tokenizer {
    /// The model's special tokens.
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
            im_start: self.token_id(IM_START),
            im_end: self.token_id(IM_END),
            bos: self.bos_id(),
            eos: self.eos_id(),
            pad: self.pad_id(),
        })
    }
}

/// What to do about an absent token.
pub(super) fn advice(token: &str) -> &'static str {
    match token {
        SEG | REJ => {
            "base models lack it: add it with `Tokenizer::add_segmentation_tokens` and train, or load an MLLMSeg checkpoint"
        }
        IMG_START | IMG_END | IMG_CONTEXT => {
            "this is not the tokenizer of an InternVL model: copy the checkpoint's `added_tokens.json` and `tokenizer_config.json` beside the vocabulary"
        }
        _ => "use the tokenizer files of the same checkpoint as the weights",
    }
}
