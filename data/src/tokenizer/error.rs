//! What can go wrong with a tokenizer folder or a text.

use super::special::advice;
use crate::files::FileError;
use std::path::{Path, PathBuf};

/// What the parts of this module return.
pub(super) type Result<T, E = TokenizerError> = std::result::Result<T, E>;

/// An error of loading, using or saving a [`Tokenizer`](super::Tokenizer).
///
/// Every message names the file or folder, what was expected, what was found, and what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its fields hold")]
pub enum TokenizerError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A folder lacks a file, or a file's content is not what the format says.
    #[error("{}: expected {expected}, found {found}; {advice}", path.display())]
    Content { path: PathBuf, expected: String, found: String, advice: &'static str },
    /// A token that the caller needs is not in the vocabulary.
    #[error("token `{token}` is not in the tokenizer of {}; {}", dir.display(), advice(token))]
    MissingToken { token: String, dir: PathBuf },
    /// A text is longer than [`MAX_TEXT_BYTES`](super::MAX_TEXT_BYTES).
    #[error(
        "the text has {found} bytes, more than the {limit} that may be tokenized at once; shorten it"
    )]
    TextTooLong { limit: usize, found: usize },
    /// An id beyond the vocabulary.
    #[error(
        "id {id} is outside the vocabulary of {vocab_size} tokens; does the tokenizer belong to this model?"
    )]
    UnknownId { id: u32, vocab_size: usize },
    /// The `tokenizers` library refused a file or a text.
    #[error("{}: the tokenizers library reports: {message}", path.display())]
    Library { path: PathBuf, message: String },
}

/// A [`TokenizerError::Content`] that the checkpoint's own file would mend. What was found is
/// shortened.
pub(super) fn content(
    path: &Path,
    expected: impl Into<String>,
    found: impl ToString,
) -> TokenizerError {
    TokenizerError::Content {
        path: path.to_owned(),
        expected: expected.into(),
        found: found.to_string().chars().take(300).collect(),
        advice: "correct the file or copy it from the checkpoint again",
    }
}

/// Turns the library's error into one that names the file or folder.
pub(super) fn library(path: &Path) -> impl Fn(tokenizers::Error) -> TokenizerError {
    move |error| {
        let (path, message) = (path.to_owned(), error.to_string());
        TokenizerError::Library { path, message }
    }
}
