//! What can be wrong with a prompt.

use crate::tokenizer::TokenizerError;

/// What can be wrong with a prompt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its fields hold")]
pub enum PromptError {
    /// An expression has no text.
    #[error(
        "an expression is empty: expected the description of an object, such as \"the red cup\""
    )]
    EmptyExpression,
    /// A text contains a token that has a meaning of its own.
    #[error(
        "the {place} contains `{token}`, which is reserved: it would be read as a token and not as text; remove it"
    )]
    ReservedToken { token: String, place: &'static str },
    /// A template, a text or a number is not one that a prompt can have.
    #[error("{found}: expected {expected}")]
    Unsuitable { found: String, expected: String },
    /// The tokenizer lacks a token or refuses a text.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

impl PromptError {
    pub(super) fn unsuitable(found: String, expected: impl Into<String>) -> Self {
        Self::Unsuitable { found, expected: expected.into() }
    }
}
