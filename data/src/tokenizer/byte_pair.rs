//! Byte-level byte-pair encoding by the `tokenizers` library, from either of its two formats.
//!
//! `vocab.json` with `merges.txt` is what the published Python code reads with the slow
//! `Qwen2Tokenizer`: the whole text is brought to NFC and cut at its added tokens, each stretch is
//! split into words by one regular expression, and each word's UTF-8 bytes, written as printable
//! characters, are merged by rank. `tokenizer.json` (InternVL3) says itself what is done.

use super::added::{AddedToken, AddedTokens};
use super::engine::Engine;
use super::error::{Result, TokenizerError, content, library};
use super::files::{self, JSON, MERGES, VOCAB};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use tokenizers::decoders::byte_level::ByteLevel as ByteLevelDecoder;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{NormalizedString, Normalizer, SplitDelimiterBehavior};

/// Qwen2's words: contractions, letters with one leading sign, single digits, signs, line ends,
/// spaces.
const WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The most merges or vocabulary entries that are accepted.
const MAX_ENTRIES: usize = 1 << 22;

/// A byte-level byte-pair model.
#[derive(Debug)]
pub(super) struct BytePair {
    dir: PathBuf,
    /// The library's tokenizer, added tokens included.
    inner: tokenizers::Tokenizer,
    /// Whether it was read from `vocab.json`, as the slow tokenizer is.
    slow: bool,
}

impl BytePair {
    /// From `vocab.json` and `merges.txt`. `unk` is what a piece outside the vocabulary becomes, if
    /// the vocabulary has it.
    pub(super) fn from_vocab(
        dir: &Path,
        vocab: &[u8],
        merges: &[u8],
        unk: Option<&str>,
    ) -> Result<Self> {
        let (vocab_path, merges_path) = (dir.join(VOCAB), dir.join(MERGES));
        let vocab = files::json_object(&vocab_path, vocab)?;
        let ids = check_ids(&vocab_path, &vocab)?;
        let merges = parse_merges(&merges_path, files::utf8(&merges_path, merges)?, &vocab)?;
        let mut builder = BPE::builder().vocab_and_merges(ids, merges);
        let alphabet = ByteLevel::alphabet().into_iter();
        let lacking = alphabet.filter(|c| !vocab.contains_key(c.encode_utf8(&mut [0; 4]))).min();
        match (unk.filter(|unk| vocab.contains_key(*unk)), lacking) {
            (Some(unk), _) => builder = builder.unk_token(unk.to_owned()),
            (None, None) => {}
            (None, Some(c)) => {
                let expected = "a token for each of the 256 bytes, or the unknown token";
                return Err(content(&vocab_path, expected, format!("none for `{c}`")));
            }
        }
        let library = library(dir);
        let mut inner = tokenizers::Tokenizer::new(builder.build().map_err(&library)?);
        let [split, bytes] = words().map_err(&library)?;
        inner.with_pre_tokenizer(Some(Sequence::new(vec![split, bytes])));
        inner.with_decoder(Some(ByteLevelDecoder::default()));
        Ok(Self { dir: dir.to_owned(), inner, slow: true })
    }

    /// From `tokenizer.json`, whose added tokens go to `added`.
    pub(super) fn from_json(dir: &Path, bytes: &[u8], added: &mut AddedTokens) -> Result<Self> {
        let path = dir.join(JSON);
        let map = files::json_object(&path, bytes)?;
        check_supported(&path, &map)?;
        let library = library(&path);
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(&library)?;
        // A prompt is never cut or padded behind the caller's back.
        inner.with_truncation(None).map_err(&library)?;
        inner.with_padding(None);
        for entry in map.get("added_tokens").and_then(Value::as_array).into_iter().flatten() {
            let token: AddedToken = serde_json::from_value(entry.clone())
                .map_err(|error| content(&path, "an added token", error))?;
            let entry = format!("`{}` with id {}", token.content, token.id);
            // The library gives other ids after a gap, and only logs it.
            let other = inner.token_to_id(&token.content).filter(|id| *id != token.id);
            let inserted = match other {
                Some(next) => Err(format!("the next id without a gap is {next}")),
                None => added.insert(token),
            };
            inserted.map_err(|conflict| {
                content(&path, "consecutive ids", format!("{entry}, but {conflict}"))
            })?;
        }
        Ok(Self { dir: dir.to_owned(), inner, slow: false })
    }

    /// Whether the file's own post-processor puts a token before every text: transformers 5 writes
    /// `add_bos_token` nowhere else.
    pub(super) fn starts_texts_with(&self, token: Option<&str>) -> bool {
        let first = self
            .inner
            .encode_fast("", true)
            .ok()
            .and_then(|empty| empty.get_ids().first().copied());
        first.is_some() && first == token.and_then(|token| self.inner.token_to_id(token))
    }
}

impl Engine for BytePair {
    fn len(&self) -> usize {
        self.inner.get_vocab_size(false)
    }

    fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The library gives ids by itself: they must be the declared ones.
    fn add(&mut self, added: &AddedTokens) -> Result<()> {
        let entries = added.iter().map(|token| {
            tokenizers::AddedToken::from(token.content.clone(), token.special)
                .lstrip(token.lstrip)
                .rstrip(token.rstrip)
                .single_word(token.single_word)
                .normalized(token.normalized && !self.slow)
        });
        let entries: Vec<_> = entries.collect();
        self.inner.add_tokens(entries).map_err(library(&self.dir))?;
        let id = |token: &AddedToken| self.inner.token_to_id(&token.content);
        match added.iter().find(|token| id(token) != Some(token.id)) {
            None => Ok(()),
            Some(token) => Err(content(
                &self.dir,
                format!("`{}` to have the next free id", token.content),
                format!("{} instead of {:?}", token.id, id(token)),
            )),
        }
    }

    fn encode(&self, text: &str, _added: &AddedTokens) -> Result<Vec<u32>> {
        let library = library(&self.dir);
        let mut text = NormalizedString::from(text);
        if self.slow {
            NFC.normalize(&mut text).map_err(&library)?;
        }
        let encoding = self.inner.encode_fast(text.get(), false).map_err(&library)?;
        Ok(encoding.get_ids().to_vec())
    }

    fn decode(&self, ids: &[u32], skip_special: bool, added: &AddedTokens) -> Result<String> {
        let decode = |ids: &[u32]| self.inner.decode(ids, skip_special).map_err(library(&self.dir));
        // The library would read an added token such as `é`, too, as the printable form of a byte.
        if self.slow { added.join(ids, skip_special, decode) } else { decode(ids) }
    }

    fn to_json(&self) -> Result<Option<String>> {
        let json = (!self.slow).then(|| self.inner.to_string(true)).transpose();
        json.map_err(library(&self.dir))
    }
}

/// Splits a text into words, and writes their bytes as printable characters.
pub(super) fn words() -> tokenizers::Result<[PreTokenizerWrapper; 2]> {
    let pattern = SplitPattern::Regex(WORDS.into());
    let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)?;
    let bytes = ByteLevel::new(false, false, false);
    Ok([PreTokenizerWrapper::Split(split), PreTokenizerWrapper::ByteLevel(bytes)])
}

/// The ids of a vocabulary, which must be 0, 1, 2, ... once each.
fn check_ids(path: &Path, vocab: &Map<String, Value>) -> Result<Vocab> {
    if vocab.is_empty() || vocab.len() > MAX_ENTRIES {
        let found = format!("{} tokens", vocab.len());
        return Err(content(path, format!("1 to {MAX_ENTRIES} tokens"), found));
    }
    let mut seen = HashSet::with_capacity(vocab.len());
    let entry = |(token, value): (&String, &Value)| {
        let id = value.as_u64().filter(|&id| id < vocab.len() as u64 && seen.insert(id));
        let id = id.and_then(|id| u32::try_from(id).ok()).ok_or_else(|| {
            let expected = format!("the ids 0 to {} once each", vocab.len() - 1);
            content(path, expected, format!("`{token}` with id {value}"))
        })?;
        Ok((token.clone(), id))
    };
    vocab.iter().map(entry).collect()
}

/// Reads the merges: one pair a line, best first. Only a first line `#version...` is a header: `#
/// #` is a merge.
fn parse_merges(path: &Path, text: &str, vocab: &Map<String, Value>) -> Result<Merges> {
    let mut merges = Vec::new();
    for (line, number) in text.lines().map(str::trim).zip(1..) {
        if line.is_empty() || (number == 1 && line.starts_with("#version")) {
            continue;
        }
        let fields: Vec<&str> = line.split_whitespace().collect();
        merges.push(check_merge(path, &fields, ("line", number), vocab)?);
        if merges.len() > MAX_ENTRIES {
            return Err(content(path, format!("at most {MAX_ENTRIES} merges"), "more"));
        }
    }
    Ok(merges)
}

/// A merge is a pair of tokens that make a third one: the library would panic on another.
fn check_merge(
    path: &Path,
    fields: &[&str],
    (unit, number): (&str, usize),
    vocab: &Map<String, Value>,
) -> Result<(String, String)> {
    let known = |token: &str| vocab.contains_key(token);
    match fields {
        [left, right] if known(left) && known(right) && known(&format!("{left}{right}")) => {
            Ok(((*left).to_owned(), (*right).to_owned()))
        }
        _ => Err(content(
            path,
            format!("two tokens of the vocabulary that make a third at {unit} {number}"),
            format!("`{}`", fields.join(" ")),
        )),
    }
}

/// Refuses what the library reads without checking and would later panic on.
fn check_supported(path: &Path, map: &Map<String, Value>) -> Result<()> {
    let unsupported = |expected: &str, found: String| {
        let advice = "use the checkpoint's `tokenizer.model` or `vocab.json` and `merges.txt`";
        let (path, expected) = (path.to_owned(), expected.into());
        Err(TokenizerError::Content { path, expected, found, advice })
    };
    if map.get("normalizer").is_some_and(|normalizer| mentions(normalizer, "Precompiled")) {
        return unsupported("a normaliser without a compiled character map", "one".into());
    }
    let model = map.get("model").unwrap_or(&Value::Null);
    let text = |name: &str| model.get(name).and_then(Value::as_str);
    // Older files name no type; a byte-pair model is the one with merges.
    let merges = model.get("merges").and_then(Value::as_array);
    let (Some("BPE") | None, Some(merges)) = (text("type"), merges) else {
        let found =
            text("type").map_or("no model with merges".into(), |kind| format!("type {kind}"));
        return unsupported("a model of type BPE", found);
    };
    for mark in ["continuing_subword_prefix", "end_of_word_suffix"] {
        if text(mark).is_some_and(|mark| !mark.is_empty()) {
            return unsupported("pieces without a prefix or suffix mark", format!("`{mark}`"));
        }
    }
    let empty = Map::new();
    let vocab = model.get("vocab").and_then(Value::as_object).unwrap_or(&empty);
    check_ids(path, vocab)?;
    for (index, merge) in merges.iter().enumerate() {
        let fields: Vec<&str> = match merge {
            Value::String(line) => line.split(' ').collect(),
            Value::Array(pair) => pair.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        check_merge(path, &fields, ("merge", index), vocab)?;
    }
    Ok(())
}

/// Whether a normaliser or one inside it has this type.
fn mentions(normalizer: &Value, kind: &str) -> bool {
    let parts = normalizer.get("normalizers").and_then(Value::as_array);
    normalizer.get("type").and_then(Value::as_str) == Some(kind)
        || parts.is_some_and(|parts| parts.iter().any(|part| mentions(part, kind)))
}
