//! What an expression refers to, found from its words and the visible pixels.
//!
//! This knows nothing of how expressions are written: it has a grammar, words and margins of its
//! own, and measures places by the middle of what is visible of each object. What is not clear to
//! the eye is an error and not an answer.

mod eye;
mod grammar;

use thiserror::Error;

use eye::Seen;
use grammar::Parser;

use super::Scene;

/// Why an expression refers to nothing that can be named.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CheckError {
    /// The words are not an expression of this language.
    #[error("`{text}` is no expression: {expected} expected, found {found}")]
    Grammar {
        /// The expression, control characters escaped.
        text: String,
        /// What could stand there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// The scene does not settle what is meant.
    #[error("`{text}` is not clear: {reason}")]
    Unclear {
        /// The expression.
        text: String,
        /// What stands in the way.
        reason: String,
    },
}

/// The indices of the objects that `text` refers to, in order; none if there is nothing of the kind.
///
/// # Errors
/// If the words are no expression, or the scene does not settle what is meant.
pub fn check(text: &str, scene: &Scene) -> Result<Vec<usize>, CheckError> {
    Checker::new(scene).check(text)
}

/// A scene that was looked at, for as many expressions as there are.
pub struct Checker {
    seen: Result<Vec<Seen>, String>,
}

impl Checker {
    /// Looks at a scene.
    pub fn new(scene: &Scene) -> Self {
        Self { seen: eye::look(scene) }
    }

    /// The indices of the objects that `text` refers to, as [`check`] gives them.
    ///
    /// # Errors
    /// As [`check`].
    pub fn check(&self, text: &str) -> Result<Vec<usize>, CheckError> {
        let meaning = Parser::parse(text)?;
        let unclear = |reason: String| CheckError::Unclear { text: text.to_owned(), reason };
        let seen = self.seen.as_ref().map_err(|reason| unclear(reason.clone()))?;
        let mut found = eye::find(seen, &meaning).map_err(unclear)?;
        found.sort_unstable();
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{World, generate};
    use super::*;

    #[test]
    fn what_is_no_expression_is_refused() {
        let scene = generate(&World::small(), 1, 0);
        let wrong = [
            "",
            " ",
            "the",
            "all",
            "all the",
            "all the star",
            "the stars",
            "star",
            "the  star",
            "the red",
            "the red red star",
            "the star red",
            "the star and",
            "the star and the",
            "the second star",
            "the second star from the",
            "the star on the top",
            "The star",
            "the star above",
            "the star left the ring",
            "the leftmost",
            "the star.",
            "the ☆",
        ];
        for text in wrong {
            let found = check(text, &scene);
            assert!(matches!(found, Err(CheckError::Grammar { .. })), "`{text}`: {found:?}");
        }
        assert!(check(&"the ".repeat(100_000), &scene).is_err());
    }
}
