//! The check of an expression that somebody typed.

use super::error::PromptError;
use super::style::IMAGE;
use crate::tokenizer::Tokenizer;

/// The longest expression, in tokens. The longest of the RefCOCO family has fewer than 50.
pub const MAX_EXPRESSION_TOKENS: usize = 512;

/// Checks an expression that somebody typed, before it goes into a question.
///
/// # Errors
/// [`PromptError::EmptyExpression`], [`PromptError::ReservedToken`] when it contains a token with a
/// meaning of its own, [`PromptError::Unsuitable`] over [`MAX_EXPRESSION_TOKENS`].
pub fn check_expression(tokenizer: &Tokenizer, expression: &str) -> Result<(), PromptError> {
    let expression = expression.trim();
    if expression.is_empty() {
        return Err(PromptError::EmptyExpression);
    }
    let reserved =
        |token: &str| PromptError::ReservedToken { token: token.to_owned(), place: "expression" };
    if expression.contains(IMAGE) {
        return Err(reserved(IMAGE));
    }
    if let Some(token) = tokenizer.find_added(expression) {
        return Err(reserved(&token.content));
    }
    let ids = tokenizer.encode(expression)?;
    // Normalisation may write a token that the text did not have, and a placeholder may carry a
    // token's id. The unknown token is allowed: it stands for odd text and gives no order.
    let unknown = tokenizer.unk_id();
    let added = |id: &&u32| Some(**id) != unknown && tokenizer.is_added(**id);
    if let Some(&id) = ids.iter().find(added) {
        return Err(reserved(&tokenizer.decode(&[id], false)?));
    }
    if ids.len() > MAX_EXPRESSION_TOKENS {
        let start: String = expression.chars().take(40).collect();
        return Err(PromptError::unsuitable(
            format!("an expression of {} tokens (it starts with \"{start}\")", ids.len()),
            format!("at most {MAX_EXPRESSION_TOKENS}; shorten it"),
        ));
    }
    Ok(())
}
