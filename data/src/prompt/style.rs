//! The questions and answers of training and of evaluation.

use super::error::PromptError;
use crate::tokenizer::{REJ, SEG};

/// What stands for the image in a question.
pub const IMAGE: &str = "<image>";

/// The most expressions of one image that a training prompt asks for.
pub const MAX_EXPRESSIONS: usize = 5;

/// Where the expressions go in a question or an answer.
const SLOT: &str = "{x}";

/// The questions of training prompts; `{x}` stands for the expressions, joined by ", ".
pub const QUESTIONS: [&str; 4] = [
    "<image>\nCan you segment {x} in this image?",
    "<image>\nPlease segment {x} in this image.",
    "<image>\nWhat are {x} in this image? Please respond with segmentation masks.",
    "<image>\nWhat are {x} in this image? Please output segmentation masks.",
];

/// The style of a training answer: `start`, a space, one `item` per expression joined by ", ", a
/// full stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerStyle {
    /// What the answer begins with.
    pub start: &'static str,
    /// The part for one expression `{x}`; `[SEG]` becomes `[REJ]` when nothing in the image
    /// matches.
    pub item: &'static str,
}

/// The answers of training prompts.
pub const ANSWER_STYLES: [AnswerStyle; 5] = [
    AnswerStyle { start: "The segmentation results are", item: "{x} [SEG]" },
    AnswerStyle { start: "Sure, they are", item: "{x}:[SEG]" },
    AnswerStyle { start: "Sure,", item: "the mask of {x} is [SEG]" },
    AnswerStyle { start: "Sure,", item: "the segmentation of {x} is [SEG]" },
    AnswerStyle { start: "Sure,", item: "the referred {x} is [SEG]" },
];

// ANCHOR: evaluation_prompt
/// The question of the published evaluation. The missing space before "in" is theirs, and the
/// weights expect it.
pub fn evaluation_question(expressions: &[&str]) -> String {
    let expressions = expressions.join(", ");
    format!("{IMAGE}\n What are {expressions}in this image? Please output segmentation masks.")
}

/// The answer of the published evaluation, with `[REJ]` for the expressions that are `rejected`.
///
/// Expressions beyond the end of `rejected` count as not rejected.
pub fn evaluation_answer(expressions: &[&str], rejected: &[bool]) -> String {
    let rejected = rejected.iter().copied().chain(std::iter::repeat(false));
    let items: Vec<String> = expressions
        .iter()
        .zip(rejected)
        .map(|(expression, rejected)| format!("{expression}:{}", mask_token(rejected)))
        .collect();
    format!("Sure,{}.", items.join(", "))
}
// ANCHOR_END: evaluation_prompt

/// A training question and its answer.
///
/// `question` and `answer` are indices into [`QUESTIONS`] and [`ANSWER_STYLES`]; the caller draws
/// them. Expressions are trimmed of spaces and full stops and lower-cased, as in the published
/// preparation.
///
/// # Errors
/// [`PromptError::Unsuitable`] unless there are 1 to [`MAX_EXPRESSIONS`] expressions with one
/// `rejected` flag each, and for an index out of range; [`PromptError::EmptyExpression`].
pub fn training_prompt(
    expressions: &[&str],
    rejected: &[bool],
    question: usize,
    answer: usize,
) -> Result<(String, String), PromptError> {
    if !(1..=MAX_EXPRESSIONS).contains(&expressions.len()) || rejected.len() != expressions.len() {
        let (found, flags) = (expressions.len(), rejected.len());
        return Err(PromptError::unsuitable(
            format!("{found} expressions with {flags} rejection flags"),
            format!("1 to {MAX_EXPRESSIONS} of the first and as many of the second"),
        ));
    }
    let missing = |what: &str, index: usize, count: usize| {
        let found = format!("there is no {what} {index}");
        PromptError::unsuitable(found, format!("0 to {}", count - 1))
    };
    let asked =
        QUESTIONS.get(question).ok_or_else(|| missing("question", question, QUESTIONS.len()))?;
    let style = ANSWER_STYLES
        .get(answer)
        .ok_or_else(|| missing("answer style", answer, ANSWER_STYLES.len()))?;
    let expressions: Vec<String> = expressions
        .iter()
        .map(|expression| match expression.trim().trim_matches('.') {
            "" => Err(PromptError::EmptyExpression),
            text => Ok(text.to_lowercase()),
        })
        .collect::<Result<_, _>>()?;
    let items: Vec<String> = expressions
        .iter()
        .zip(rejected)
        .map(|(expression, &rejected)| {
            // The slot is filled last, so that no expression's own text is taken for a mask token.
            fill(&style.item.replace(SEG, mask_token(rejected)), expression)
        })
        .collect();
    let answer = format!("{} {}.", style.start, items.join(", "));
    Ok((fill(asked, &expressions.join(", ")), answer))
}

fn mask_token(rejected: bool) -> &'static str {
    if rejected { REJ } else { SEG }
}

/// Puts `text` in the place of the first slot.
fn fill(style: &str, text: &str) -> String {
    style.replacen(SLOT, text, 1)
}
