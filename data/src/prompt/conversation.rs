//! A conversation about one image as token ids, with the labels that the model learns from.

use super::error::PromptError;
use super::style::IMAGE;
use super::template::Template;
use crate::tokenizer::{IM_END, IM_START, IMG_CONTEXT, IMG_END, IMG_START, REJ, SEG, Tokenizer};
use std::ops::Range;

/// The label of a position without loss.
pub const NO_LOSS: i64 = -100;

/// The most `<IMG_CONTEXT>` tokens of a prompt; a 448 x 448 image has 256.
pub const MAX_IMAGE_TOKENS: usize = 16384;

/// A conversation as token ids, T of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenizedPrompt {
    /// The ids, `[T]`.
    pub input_ids: Vec<u32>,
    /// For each position its id where the model learns to say it, and [`NO_LOSS`] elsewhere, `[T]`.
    /// Not shifted.
    pub labels: Vec<i64>,
    /// The position of `<img>`.
    pub image_start: usize,
    /// The positions of the `<IMG_CONTEXT>` tokens, which the image's embeddings replace.
    pub image_range: Range<usize>,
    /// The first position of the answer, after the assistant's header; T when there is no answer.
    pub answer_start: usize,
}

impl TokenizedPrompt {
    /// The number of ids up to and including `</img>`. They never depend on what follows.
    pub fn prefix_len(&self) -> usize {
        self.image_range.end + 1
    }

    /// Positions of a token in the answer.
    pub fn answer_positions(&self, token: u32) -> impl Iterator<Item = usize> + Clone {
        let answer = self.input_ids.iter().enumerate().skip(self.answer_start);
        answer.filter(move |&(_, &id)| id == token).map(|(position, _)| position)
    }

    /// The ids as (prefix up to and including `</img>`, rest).
    pub fn split(&self) -> (&[u32], &[u32]) {
        self.input_ids.split_at(self.prefix_len().min(self.input_ids.len()))
    }
}

/// What stands for an image of `num_image_tokens` tokens in the text (256 for 448 x 448 pixels).
pub fn image_placeholder(num_image_tokens: usize) -> String {
    format!("{IMG_START}{}{IMG_END}", IMG_CONTEXT.repeat(num_image_tokens))
}

/// Tokenizes a conversation about one image.
///
/// `question` has `<image>` exactly once. With an `answer` (which may contain `[SEG]` and `[REJ]`)
/// the labels are the answer's ids and the end of its turn; the header before it, the line end
/// after it (`internvl2_5`) and everything else have no loss. Without one the ids end after the
/// assistant's header, ready for free generation.
///
/// # Errors
/// [`PromptError`]: a token missing from the tokenizer, a reserved token in a text, an impossible
/// number of image tokens.
pub fn tokenize_conversation(
    tokenizer: &Tokenizer,
    template: Template,
    question: &str,
    answer: Option<&str>,
    num_image_tokens: usize,
) -> Result<TokenizedPrompt, PromptError> {
    if !(1..=MAX_IMAGE_TOKENS).contains(&num_image_tokens) {
        return Err(PromptError::unsuitable(
            format!("{num_image_tokens} image tokens"),
            format!(
                "1 to {MAX_IMAGE_TOKENS}; 448 x 448 pixels make 256 (check `force_image_size` and `downsample_ratio`)"
            ),
        ));
    }
    for token in [IM_START, IM_END] {
        tokenizer.require(token)?;
    }
    let places = question.matches(IMAGE).count();
    if places != 1 {
        let found = format!("the question has {places} times `{IMAGE}`");
        return Err(PromptError::unsuitable(found, "exactly once, where the image goes"));
    }
    refuse(question, "question", &[SEG, REJ])?;
    refuse(answer.unwrap_or_default(), "answer", &[IMAGE])?;

    let question = question.replacen(IMAGE, &image_placeholder(num_image_tokens), 1);
    let bos = tokenizer.bos_id().filter(|_| tokenizer.adds_bos());
    let mut input_ids: Vec<u32> = bos.into_iter().collect();
    input_ids.extend(tokenizer.encode(&template.turn("system", template.system_text()))?);
    input_ids.extend(tokenizer.encode(&template.turn("user", &question))?);
    let header = tokenizer.encode(&Template::header("assistant"))?;
    let answer_start = input_ids.len() + header.len();
    match answer {
        Some(answer) => input_ids.extend(tokenizer.encode(&template.turn("assistant", answer))?),
        None => input_ids.extend(header),
    }

    let (image_start, image_range) = locate_image(tokenizer, &input_ids, num_image_tokens)?;
    // The published preparation leaves out one token at the end, the line end, where the template
    // has it.
    let learned_end = input_ids.len() - template.line_end().len();
    let label = |(index, &id)| match answer {
        Some(_) if (answer_start..learned_end).contains(&index) => i64::from(id),
        _ => NO_LOSS,
    };
    let labels = input_ids.iter().enumerate().map(label).collect();
    Ok(TokenizedPrompt { input_ids, labels, image_start, image_range, answer_start })
}

/// Refuses a text that contains the template's or the image's own tokens, or one of `also`.
fn refuse(text: &str, place: &'static str, also: &[&str]) -> Result<(), PromptError> {
    let own = [IM_START, IM_END, IMG_START, IMG_END, IMG_CONTEXT];
    match own.iter().chain(also).find(|token| text.contains(**token)) {
        Some(token) => Err(PromptError::ReservedToken { token: (*token).to_owned(), place }),
        None => Ok(()),
    }
}

/// Finds `<img>` and the image tokens after it: (position of the first, positions of the others).
fn locate_image(
    tokenizer: &Tokenizer,
    ids: &[u32],
    expected: usize,
) -> Result<(usize, Range<usize>), PromptError> {
    let start = tokenizer.require(IMG_START)?;
    let context = tokenizer.require(IMG_CONTEXT)?;
    let end = tokenizer.require(IMG_END)?;
    let first = ids.iter().position(|&id| id == start).unwrap_or(ids.len());
    let rest = ids.get(first + 1..).unwrap_or_default();
    let length = rest.iter().take_while(|&&id| id == context).count();
    let total = ids.iter().filter(|&&id| id == context).count();
    if length != expected || total != expected || rest.get(length) != Some(&end) {
        let dir = tokenizer.dir().display();
        return Err(PromptError::unsuitable(
            format!(
                "the tokenizer of {dir} makes {length} of {total} image tokens follow `<img>`, and then id {:?}",
                rest.get(length)
            ),
            format!(
                "`<img>`, {expected} x `<IMG_CONTEXT>`, `</img>`; check the flags of these tokens in tokenizer_config.json"
            ),
        ));
    }
    Ok((first, first + 1..first + 1 + length))
}
