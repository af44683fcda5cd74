//! From an image's expressions to the token ids that the model reads, and the labels that it learns
//! from.
//!
//! A conversation has three turns: the template's system text, the image with the question, and the
//! answer. With `internvl2_5` **each turn is tokenized on its own** and the ids are concatenated;
//! with the earlier templates the whole text is tokenized at once, as the published preparation
//! does. InternLM2 gets one `<s>` at the very start. The image comes before the question, so the
//! ids up to and including `</img>` are the same whatever is asked
//! ([`TokenizedPrompt::prefix_len`]).

mod template;
#[cfg(test)]
mod tests;
mod wording;

pub use template::{Role, Template};
pub use wording::{
    ANSWER_STYLES, AnswerStyle, IMAGE, MAX_EXPRESSIONS, QUESTIONS, evaluation_answer,
    evaluation_question, training_prompt,
};

use crate::tokenizer::{IMG_CONTEXT, IMG_END, IMG_START, REJ, SEG, Tokenizer, TokenizerError};
use std::ops::Range;

/// The label of a position without loss.
pub const NO_LOSS: i64 = -100;

/// The longest expression, in tokens. The longest of the RefCOCO family has fewer than 50.
pub const MAX_EXPRESSION_TOKENS: usize = 512;

/// The most `<IMG_CONTEXT>` tokens of a prompt; a 448 x 448 image has 256.
pub const MAX_IMAGE_TOKENS: usize = 16384;

/// What can be wrong with a prompt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PromptError {
    /// `config.json` names a template that is not known.
    #[error(
        "template `{name}` is not known: expected one of {known}; check `template` in the checkpoint's config.json"
    )]
    UnknownTemplate {
        /// The name.
        name: String,
        /// The known names.
        known: String,
    },
    /// An expression has no text.
    #[error(
        "an expression is empty: expected the description of an object, such as \"the red cup\""
    )]
    EmptyExpression,
    /// An expression is too long.
    #[error(
        "an expression has {found} tokens, more than the limit of {limit}; shorten it (it starts with \"{start}\")"
    )]
    ExpressionTooLong {
        /// The limit in tokens.
        limit: usize,
        /// The expression's length in tokens.
        found: usize,
        /// Its first characters.
        start: String,
    },
    /// A text contains a token that has a meaning of its own.
    #[error(
        "the {place} contains `{token}`, which is reserved: it would be read as a token and not as text; remove it"
    )]
    ReservedToken {
        /// The token.
        token: String,
        /// Where it was found.
        place: &'static str,
    },
    /// A question does not have exactly one `<image>`.
    #[error(
        "the question has {found} times `<image>`: expected exactly once, where the image goes"
    )]
    ImagePlace {
        /// How often it has it.
        found: usize,
    },
    /// An impossible number of image tokens.
    #[error(
        "{found} image tokens: expected 1 to {limit}; 448 x 448 pixels make 256 (check `force_image_size` and `downsample_ratio`)"
    )]
    ImageTokens {
        /// The limit.
        limit: usize,
        /// The number.
        found: usize,
    },
    /// The tokenizer does not give the image's tokens back one by one.
    #[error(
        "the tokenizer of {dir} does not turn the image into `<img>`, {expected} x `<IMG_CONTEXT>`, `</img>`: found {found}; check the flags of these tokens in tokenizer_config.json"
    )]
    ImageLayout {
        /// The tokenizer's folder.
        dir: String,
        /// The number of image tokens wanted.
        expected: usize,
        /// What was found instead.
        found: String,
    },
    /// A training prompt with too many or too few expressions or flags.
    #[error(
        "{expressions} expressions with {flags} rejection flags: expected 1 to {limit} of the first and as many of the second"
    )]
    ExpressionCount {
        /// The most expressions.
        limit: usize,
        /// The number of expressions.
        expressions: usize,
        /// The number of flags.
        flags: usize,
    },
    /// An index into the questions or answer styles that is out of range.
    #[error("there is no {what} {index}: expected 0 to {}", count - 1)]
    NoSuchWording {
        /// Question or answer style.
        what: &'static str,
        /// The index.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// The tokenizer lacks a token or refuses a text.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

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
    pub fn answer_positions(&self, token: u32) -> impl Iterator<Item = usize> {
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

/// Checks an expression that somebody typed, before it goes into a question.
///
/// # Errors
/// [`PromptError::EmptyExpression`], [`PromptError::ReservedToken`] when it contains a token with a
/// meaning of its own, [`PromptError::ExpressionTooLong`] over [`MAX_EXPRESSION_TOKENS`].
pub fn check_expression(tokenizer: &Tokenizer, expression: &str) -> Result<(), PromptError> {
    const PLACE: &str = "expression";
    let expression = expression.trim();
    if expression.is_empty() {
        return Err(PromptError::EmptyExpression);
    }
    let reserved =
        |token: &str| PromptError::ReservedToken { token: token.to_owned(), place: PLACE };
    if expression.contains(IMAGE) {
        return Err(reserved(IMAGE));
    }
    if let Some(token) = tokenizer.find_added(expression) {
        return Err(reserved(&token.content));
    }
    let ids = tokenizer.encode(expression)?;
    // Normalisation may write a token that the text did not have, and a placeholder may carry a
    // token's id. The unknown token is exempt: it is an answer to odd text, not a way to say
    // anything.
    let unknown = tokenizer.unk_id();
    let added = |id: &&u32| Some(**id) != unknown && tokenizer.is_added(**id);
    if let Some(&id) = ids.iter().find(added) {
        return Err(reserved(&tokenizer.decode(&[id], false)?));
    }
    if ids.len() > MAX_EXPRESSION_TOKENS {
        return Err(PromptError::ExpressionTooLong {
            limit: MAX_EXPRESSION_TOKENS,
            found: ids.len(),
            start: expression.chars().take(40).collect(),
        });
    }
    Ok(())
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
        let limit = MAX_IMAGE_TOKENS;
        return Err(PromptError::ImageTokens { limit, found: num_image_tokens });
    }
    for token in template.markers() {
        tokenizer.require(token)?;
    }
    let found = question.matches(IMAGE).count();
    if found != 1 {
        return Err(PromptError::ImagePlace { found });
    }
    refuse(template, question, "question", &[SEG, REJ])?;
    let question = question.replacen(IMAGE, &image_placeholder(num_image_tokens), 1);

    let turns =
        [template.turn(Role::System, template.system_text()), template.turn(Role::User, &question)];
    if let Some(answer) = answer {
        refuse(template, answer, "answer", &[IMAGE])?;
    }
    let answer = answer.map(|answer| template.turn(Role::Assistant, answer));
    let (ids, answer_start) = encode_turns(tokenizer, template, &turns, answer.as_deref())?;
    let bos = tokenizer.bos_id().filter(|_| tokenizer.adds_bos());
    let answer_start = answer_start + usize::from(bos.is_some());
    let input_ids: Vec<u32> = bos.into_iter().chain(ids).collect();

    let (image_start, image_range) = locate_image(tokenizer, &input_ids, num_image_tokens)?;
    // The published preparation leaves out one token at the end, the line end, where the template
    // has it.
    let silent_end = usize::from(template.separator().ends_with('\n'));
    let learned = match answer {
        Some(_) => answer_start..input_ids.len().saturating_sub(silent_end),
        None => 0..0,
    };
    let label = |(index, &id)| {
        if learned.contains(&index) { i64::from(id) } else { NO_LOSS }
    };
    let labels = input_ids.iter().enumerate().map(label).collect();
    Ok(TokenizedPrompt { input_ids, labels, image_start, image_range, answer_start })
}

/// The ids of the turns, and how many of them come before the answer. `answer` is the whole turn,
/// with its header.
fn encode_turns(
    tokenizer: &Tokenizer,
    template: Template,
    [system, user]: &[String; 2],
    answer: Option<&str>,
) -> Result<(Vec<u32>, usize), TokenizerError> {
    let header = template.header(Role::Assistant);
    if template.encodes_turns_alone() {
        let mut ids = tokenizer.encode(system)?;
        ids.extend(tokenizer.encode(user)?);
        let header_ids = tokenizer.encode(header)?;
        let answer_ids = tokenizer.encode(answer.unwrap_or(header))?;
        let start = ids.len() + header_ids.len().min(answer_ids.len());
        ids.extend(answer_ids);
        return Ok((ids, start));
    }
    let before = tokenizer.encode(&format!("{system}{user}{header}"))?.len();
    let ids = tokenizer.encode(&format!("{system}{user}{}", answer.unwrap_or(header)))?;
    let start = before.min(ids.len());
    Ok((ids, start))
}

/// Refuses a text that contains the template's or the image's own tokens, or one of `also`.
fn refuse(
    template: Template,
    text: &str,
    place: &'static str,
    also: &[&str],
) -> Result<(), PromptError> {
    let image = [IMG_START, IMG_END, IMG_CONTEXT];
    let mut reserved = template.markers().iter().chain(&image).chain(also);
    match reserved.find(|token| text.contains(**token)) {
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
    let layout = |found: String| PromptError::ImageLayout {
        dir: tokenizer.dir().display().to_string(),
        expected,
        found,
    };
    let first = ids.iter().position(|&id| id == start);
    let first = first.ok_or_else(|| layout("no `<img>`".into()))?;
    let rest = ids.get(first + 1..).unwrap_or_default();
    let length = rest.iter().take_while(|&&id| id == context).count();
    let after = rest.get(length).copied();
    let total = ids.iter().filter(|&&id| id == context).count();
    if length != expected || total != expected || after != Some(end) {
        return Err(layout(format!("{length} of {total} and then id {after:?}")));
    }
    Ok((first, first + 1..first + 1 + length))
}
