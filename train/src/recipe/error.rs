//! What can be wrong with a recipe.

use std::path::PathBuf;

use thiserror::Error;

/// Why there is no recipe.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each message says what its fields hold")]
pub enum RecipeError {
    /// The file cannot be read.
    #[error("{path}: {source}; expected a TOML file, or one of the names {names}")]
    Read { path: PathBuf, names: String, source: std::io::Error },
    /// The text is not a recipe.
    #[error("{path}: {message}")]
    Parse { path: PathBuf, message: String },
    /// A value that is not allowed.
    #[error("recipe {name:?}: `{field}` is {found}; expected {expected}")]
    Value { name: String, field: &'static str, found: String, expected: &'static str },
}
