//! What can go wrong with a tokenizer folder or a text.

use super::special::advice;
use std::path::{Path, PathBuf};

/// An error of loading, using or saving a [`Tokenizer`](super::Tokenizer).
///
/// Every message names the file or folder, what was expected, what was found, and what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// A file could not be read.
    #[error("cannot read {}: {source}; check that the file exists and may be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}; check the folder's permissions and free space", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A folder lacks a file, or a file's content is not what the format says.
    #[error("{}: expected {expected}, found {found}; {advice}", path.display())]
    Content {
        /// The file or folder.
        path: PathBuf,
        /// What the format wants.
        expected: String,
        /// What is there.
        found: String,
        /// What to do next.
        advice: &'static str,
    },
    /// A token that the caller needs is not in the vocabulary.
    #[error("token `{token}` is not in the tokenizer of {}; {}", dir.display(), advice(token))]
    MissingToken {
        /// The token.
        token: String,
        /// The folder that was searched.
        dir: PathBuf,
    },
    /// A text is longer than [`MAX_TEXT_BYTES`](super::MAX_TEXT_BYTES).
    #[error(
        "the text has {found} bytes, more than the {limit} that may be tokenized at once; shorten it"
    )]
    TextTooLong {
        /// The limit in bytes.
        limit: usize,
        /// The text's length in bytes.
        found: usize,
    },
    /// An id beyond the vocabulary.
    #[error(
        "id {id} is outside the vocabulary of {vocab_size} tokens; does the tokenizer belong to this model?"
    )]
    UnknownId {
        /// The id.
        id: u32,
        /// The vocabulary's size.
        vocab_size: usize,
    },
    /// The `tokenizers` library refused a file or a text.
    #[error("{}: the tokenizers library reports: {message}", path.display())]
    Library {
        /// The file or folder.
        path: PathBuf,
        /// The library's message.
        message: String,
    },
}

impl TokenizerError {
    /// A [`TokenizerError::Content`] that the checkpoint's own file would mend. What was found is
    /// shortened.
    pub(super) fn content(path: &Path, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Content {
            path: path.to_owned(),
            expected: expected.into(),
            found: found.to_string().chars().take(300).collect(),
            advice: "correct the file or copy it from the checkpoint again",
        }
    }

    /// Turns the library's error into one that names the file or folder.
    pub(super) fn library(path: &Path) -> impl Fn(tokenizers::Error) -> Self {
        move |error| Self::Library { path: path.to_owned(), message: error.to_string() }
    }
}
