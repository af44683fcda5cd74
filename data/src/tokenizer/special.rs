//! The tokens that the model gives a meaning of its own.

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
/// The token that opens a turn.
pub const IM_START: &str = "<|im_start|>";
/// The token that closes a turn.
pub const IM_END: &str = "<|im_end|>";

/// The ids of the tokens that the model gives a meaning of its own, looked up by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each id is named as its token above")]
pub struct SpecialTokens {
    pub seg: u32,
    pub rej: u32,
    pub img_start: u32,
    pub img_end: u32,
    pub img_context: u32,
    /// The end of a text.
    pub eos: Option<u32>,
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
