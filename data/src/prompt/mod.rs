//! From an image's expressions to the token ids that the model reads, and the labels that it learns
//! from.
//!
//! A conversation has three turns: the template's system text, the image with the question, and the
//! answer. Each turn is tokenized on its own and the ids are concatenated. (The published
//! preparation tokenizes the whole text of the earlier templates at once; as their turns begin and
//! end with added tokens, the ids are the same.) InternLM2 gets one `<s>` at the very start. The
//! image comes before the question, so the ids up to and including `</img>` are the same for every
//! question ([`TokenizedPrompt::prefix_len`]).

mod conversation;
mod error;
mod expression;
mod style;
mod template;
#[cfg(test)]
mod tests;

pub use conversation::{
    MAX_IMAGE_TOKENS, NO_LOSS, TokenizedPrompt, image_placeholder, tokenize_conversation,
};
pub use error::PromptError;
pub use expression::{MAX_EXPRESSION_TOKENS, check_expression};
pub use style::{
    ANSWER_STYLES, AnswerStyle, IMAGE, MAX_EXPRESSIONS, QUESTIONS, evaluation_answer,
    evaluation_question, training_prompt,
};
pub use template::Template;
