//! `vocab.json` + `merges.txt`: the byte-level byte-pair encoding of Qwen2.
//!
//! The published Python code reads it with the slow `Qwen2Tokenizer`: the whole text to NFC, split
//! at added tokens, each stretch split by one regular expression, each word's UTF-8 bytes written
//! as printable characters and merged by rank.

use super::TokenizerError;
use super::files;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use tokenizers::decoders::byte_level::ByteLevel as ByteLevelDecoder;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel as ByteLevelSplit;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{NormalizedString, Normalizer, SplitDelimiterBehavior};

/// Qwen2's words: contractions, letters with one leading sign, single digits, signs, line ends,
/// spaces.
pub(super) const WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The most merges or vocabulary entries that are accepted.
const MAX_ENTRIES: usize = 1 << 22;

/// A byte-level byte-pair model.
#[derive(Debug)]
pub(super) struct ByteLevel {
    inner: tokenizers::Tokenizer,
    len: usize,
    /// Each id's token, which decoding turns back into bytes.
    tokens: Vec<String>,
    byte_of: HashMap<char, u8>,
    /// Bytes without a token of their own: text with them cannot be encoded unless there is an
    /// unknown token.
    missing: HashSet<u8>,
}

impl ByteLevel {
    /// Builds the model; `unk` is what a piece outside the vocabulary becomes, if the vocabulary
    /// has it.
    pub(super) fn parse(
        (vocab_path, vocab): (&Path, &[u8]),
        (merges_path, merges): (&Path, &[u8]),
        unk: Option<&str>,
    ) -> Result<Self, TokenizerError> {
        let vocab = parse_vocab(vocab_path, vocab)?;
        let merges = parse_merges(merges_path, files::utf8(merges_path, merges)?, &vocab)?;
        let library = |error: tokenizers::Error| TokenizerError::Library {
            path: vocab_path.to_owned(),
            message: error.to_string(),
        };
        let byte_of = byte_alphabet();
        let absent = byte_of.iter().filter(|(c, _)| !vocab.contains_key(&c.to_string()));
        let mut missing: HashSet<u8> = absent.map(|(_, &byte)| byte).collect();
        let mut tokens = vec![String::new(); vocab.len()];
        for (token, &id) in &vocab {
            if let Some(slot) = tokens.get_mut(id as usize) {
                slot.clone_from(token);
            }
        }
        let len = vocab.len();
        let unk = unk.filter(|unk| vocab.contains_key(*unk));
        let mut builder = BPE::builder().vocab_and_merges(vocab, merges);
        if let Some(unk) = unk {
            builder = builder.unk_token(unk.to_owned());
            missing.clear();
        }
        let mut inner = tokenizers::Tokenizer::new(builder.build().map_err(library)?);
        let split =
            Split::new(SplitPattern::Regex(WORDS.into()), SplitDelimiterBehavior::Isolated, false)
                .map_err(library)?;
        inner.with_pre_tokenizer(Some(PreTokenizerWrapper::Sequence(Sequence::new(vec![
            PreTokenizerWrapper::Split(split),
            PreTokenizerWrapper::ByteLevel(ByteLevelSplit::new(false, false, false)),
        ]))));
        inner.with_decoder(Some(ByteLevelDecoder::default()));
        Ok(Self { inner, len, tokens, byte_of, missing })
    }

    /// The number of tokens; their ids are `0..len`.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    pub(super) fn token(&self, id: u32) -> Option<&str> {
        self.tokens.get(id as usize).map(String::as_str)
    }

    /// The whole text in Unicode's composed form, before added tokens are looked for.
    pub(super) fn prepare(&self, text: &str) -> Result<String, tokenizers::Error> {
        let mut normalized = NormalizedString::from(text);
        NFC.normalize(&mut normalized)?;
        Ok(normalized.get().to_owned())
    }

    /// Encodes a stretch without added tokens; an error is a byte that has no token.
    pub(super) fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), String> {
        if let Some(byte) = text.bytes().find(|byte| self.missing.contains(byte)) {
            return Err(format!("the byte 0x{byte:02X}"));
        }
        let encoding = self.inner.encode_fast(text, false).map_err(|error| error.to_string())?;
        ids.extend(encoding.get_ids());
        Ok(())
    }

    /// Decodes a run of tokens; bytes that are not UTF-8 become U+FFFD.
    pub(super) fn decode(&self, ids: &[u32]) -> String {
        let tokens = ids.iter().filter_map(|&id| self.token(id));
        let bytes: Vec<u8> =
            tokens.flat_map(str::chars).filter_map(|c| self.byte_of.get(&c).copied()).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The printable character of each byte: printable Latin-1 stands for itself, the rest counts up
/// from U+0100.
fn byte_alphabet() -> HashMap<char, u8> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 0x100u32..;
    (0..=255u8)
        .filter_map(|byte| {
            let code = if printable(byte) { u32::from(byte) } else { next.next()? };
            Some((char::from_u32(code)?, byte))
        })
        .collect()
}

fn parse_vocab(
    path: &Path,
    bytes: &[u8],
) -> Result<tokenizers::models::bpe::Vocab, TokenizerError> {
    let content = |expected: &str, found: String| TokenizerError::Content {
        path: path.to_owned(),
        expected: expected.into(),
        found,
        advice: "download the file again".into(),
    };
    let map = files::json_object(path, bytes)?;
    if map.is_empty() || map.len() > MAX_ENTRIES {
        let found = format!("{} tokens", map.len());
        return Err(content(&format!("1 to {MAX_ENTRIES} tokens"), found));
    }
    let mut owner: Vec<Option<&str>> = vec![None; map.len()];
    let mut ids = Vec::with_capacity(map.len());
    for (token, value) in &map {
        let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
        let id = id.ok_or_else(|| {
            content(
                "a whole number as each token's id",
                format!("`{token}`: {}", files::kind(value)),
            )
        })?;
        let Some(slot) = owner.get_mut(id as usize) else {
            let expected = format!("ids 0 to {} for {} tokens", map.len() - 1, map.len());
            return Err(content(&expected, format!("`{token}` with id {id}")));
        };
        if let Some(other) = slot.replace(token) {
            return Err(TokenizerError::IdConflict {
                path: path.to_owned(),
                token: token.clone(),
                id,
                conflict: format!("`{other}` has that id already"),
            });
        }
        ids.push((token.clone(), id));
    }
    Ok(ids.into_iter().collect())
}

/// Reads the merges: one pair a line, best first. Only a first line `#version...` is a header: `#
/// #` is a merge.
fn parse_merges(
    path: &Path,
    text: &str,
    vocab: &tokenizers::models::bpe::Vocab,
) -> Result<Vec<(String, String)>, TokenizerError> {
    let mut merges = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || (number == 0 && line.starts_with("#version")) {
            continue;
        }
        let content = |expected: &str, found: String| TokenizerError::Content {
            path: path.to_owned(),
            expected: format!("{expected} at line {}", number + 1),
            found,
            advice: "download `merges.txt` and `vocab.json` again, from one checkpoint".into(),
        };
        let fields: Vec<&str> = line.split_whitespace().collect();
        let &[left, right] = fields.as_slice() else {
            let found = format!("{} fields: `{}`", fields.len(), shorten(line));
            return Err(content("two fields separated by a space", found));
        };
        let joined = format!("{left}{right}");
        for token in [left, right, &joined] {
            if !vocab.contains_key(token) {
                let found = format!("`{}`, which `vocab.json` does not have", shorten(token));
                return Err(content("a merge of tokens of the vocabulary", found));
            }
        }
        if merges.len() == MAX_ENTRIES {
            return Err(content(&format!("at most {MAX_ENTRIES} merges"), "more".into()));
        }
        merges.push((left.to_owned(), right.to_owned()));
    }
    Ok(merges)
}

/// The start of a text from a file, short enough for a message.
fn shorten(text: &str) -> String {
    text.chars().take(60).collect()
}
