//! What can be wrong with a recipe.

use std::path::PathBuf;

use thiserror::Error;

/// Why there is no recipe.
#[derive(Debug, Error)]
pub enum RecipeError {
    /// The file cannot be read.
    #[error("{path}: {source}; expected a TOML file, or one of the names {names}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The recipes that are built in.
        names: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The text is not a recipe.
    #[error("{path}: {message}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// A value that is not allowed.
    #[error("recipe {name:?}: `{field}` is {found}; expected {expected}")]
    Value {
        /// Name of the recipe.
        name: String,
        /// Which number.
        field: &'static str,
        /// What it is.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
}
