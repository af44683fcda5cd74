//! What can go wrong with a tokenizer folder or a text.

use std::path::PathBuf;

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
    /// A file is larger than any real tokenizer file.
    #[error("{} is {found} bytes, more than the {limit} a tokenizer file may have; is it a weight file under a wrong name?", path.display())]
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
        /// The file's size in bytes (at least: reading stops past the limit).
        found: u64,
    },
    /// The folder holds none of the tokenizer formats.
    #[error("{} holds no tokenizer: expected `tokenizer.model`, or `vocab.json` with `merges.txt`, or `tokenizer.json`, found {found}; copy the checkpoint's tokenizer files there", dir.display())]
    NoTokenizer {
        /// The folder.
        dir: PathBuf,
        /// Which of the wanted files are there.
        found: String,
    },
    /// A JSON file does not parse.
    #[error("{} is not valid JSON: {source}; download the file again", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's reason, with line and column.
        source: serde_json::Error,
    },
    /// A SentencePiece model does not parse.
    #[error("{} is not a SentencePiece model: {source}; the file may be truncated or a Git LFS pointer, download it again", path.display())]
    Protobuf {
        /// The file.
        path: PathBuf,
        /// The parser's reason.
        source: prost::DecodeError,
    },
    /// A file parses but its content is not what the format says.
    #[error("{}: expected {expected}, found {found}; {advice}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What the format wants.
        expected: String,
        /// What the file has.
        found: String,
        /// What to do next.
        advice: String,
    },
    /// A token and an id do not belong together one to one.
    #[error("{}: token `{token}` is given id {id}, but {conflict}; correct the id or remove one of the two entries", path.display())]
    IdConflict {
        /// The file with the entry.
        path: PathBuf,
        /// The token.
        token: String,
        /// The id it is given.
        id: u32,
        /// What already stands in its way.
        conflict: String,
    },
    /// The ids are not 0, 1, 2, ... without a gap, so they would not match the embedding table's
    /// rows.
    #[error("{}: id {missing} belongs to no token although id {max} does (`{token}`); an entry is missing from the vocabulary or the added tokens", dir.display())]
    IdHole {
        /// The folder.
        dir: PathBuf,
        /// The first id without a token.
        missing: u32,
        /// The largest id in use.
        max: u32,
        /// The token with the largest id.
        token: String,
    },
    /// A token that the caller needs is not in the vocabulary.
    #[error("token `{token}` is not in the tokenizer of {}; {advice}", dir.display())]
    MissingToken {
        /// The token.
        token: String,
        /// The folder that was searched.
        dir: PathBuf,
        /// What to do next.
        advice: String,
    },
    /// A text is longer than the limit.
    #[error(
        "the text has {found} bytes, more than the {limit} that may be tokenized at once; shorten it"
    )]
    TextTooLong {
        /// The limit in bytes.
        limit: usize,
        /// The text's length in bytes.
        found: usize,
    },
    /// A part of the text has no id: the vocabulary has neither it nor an unknown token.
    #[error("the vocabulary of {} has no token for {what} and no unknown token; use text that it covers or add the token", dir.display())]
    Unencodable {
        /// The folder.
        dir: PathBuf,
        /// The part of the text.
        what: String,
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
