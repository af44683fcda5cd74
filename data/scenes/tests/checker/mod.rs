//! What an expression refers to, found from its words and the visible pixels.
//!
//! This does not know how expressions are generated. It has a grammar and margins of its own, and
//! places an object at the mean of its visible pixels. If an expression is not clear, that is an error
//! and not an answer.

mod eye;
mod grammar;

pub use eye::Eye;

/// Why an expression has no answer.
#[derive(Debug, PartialEq)]
pub enum CheckError {
    /// The words are not an expression.
    Grammar,
    /// The scene does not settle what is meant, for this reason.
    Unclear(String),
}

/// The indices of the objects that `text` refers to, in order; none if there is no such object.
pub fn check(text: &str, scene: &Eye<'_>) -> Result<Vec<usize>, CheckError> {
    let meaning = grammar::parse(text).ok_or(CheckError::Grammar)?;
    let mut found = scene.find(&meaning).map_err(CheckError::Unclear)?;
    found.sort_unstable();
    Ok(found)
}
