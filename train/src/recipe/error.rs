//! What can be wrong with a recipe.

use std::path::PathBuf;

use thiserror::Error;

/// Why there is no recipe.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each message says what is wrong and what its fields hold")]
pub enum RecipeError {
    #[error("{path}: {source}; expected a TOML file, or one of the names {names}")]
    Read { path: PathBuf, names: String, source: std::io::Error },
    #[error("{path}: {message}")]
    Parse { path: PathBuf, message: String },
    #[error("recipe {name:?}: `{field}` is {found}; expected {expected}")]
    Value { name: String, field: &'static str, found: String, expected: &'static str },
}
