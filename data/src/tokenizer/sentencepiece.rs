//! `tokenizer.model`: a SentencePiece byte-pair model, as the InternLM2 sizes ship it.
//!
//! The published Python code reads it with a slow tokenizer (`InternLM2Tokenizer`), which hands
//! each stretch between added tokens to `sp_model.encode` on its own, so the dummy prefix, if the
//! model has one, is put before every stretch. Llama's `"legacy": false` mode, where only the start
//! of the text gets the prefix, is followed too when `tokenizer_config.json` asks for it.

use super::TokenizerError;
use super::normalizer::{Normalizer, PrefixMatcher, SPACE};
use super::piece_merge::{Mergeable, Merger};
use sentencepiece_model::{ModelType, SentencePieceModel, Type};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

/// The most pieces a model may have: ids stay far from overflow and memory stays bounded.
pub(super) const MAX_PIECES: usize = 1 << 22;

#[derive(Debug)]
struct Piece {
    text: String,
    score: f32,
    kind: Type,
}

/// Llama's newer way with spaces at the start of a text (`"legacy": false`).
#[derive(Debug, Clone)]
pub(super) struct ModernSpaces {
    /// Whether the text gets a leading space of its own (`add_prefix_space`).
    pub(super) add_prefix_space: bool,
    /// The unknown token's text, put before a stretch to protect its leading space.
    pub(super) unk: String,
}

/// A SentencePiece byte-pair model.
#[derive(Debug)]
pub(super) struct SentencePiece {
    pieces: Vec<Piece>,
    /// Pieces that text can become: normal, user-defined and unused ones.
    ordinary: HashMap<String, u32>,
    /// Control, unknown and byte pieces: found by name, never by merging.
    reserved: HashMap<String, u32>,
    user_defined: PrefixMatcher,
    /// The ids of `<0x00>` to `<0xFF>`, when unknown characters fall back to bytes.
    bytes: Option<Vec<u32>>,
    unk: u32,
    unk_surface: String,
    normalizer: Normalizer,
    modern: Option<ModernSpaces>,
}

impl SentencePiece {
    /// Builds the model from the file's bytes.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, TokenizerError> {
        let model = SentencePieceModel::from_slice(bytes)
            .map_err(|source| TokenizerError::Protobuf { path: path.to_owned(), source })?;
        let content = |expected: &str, found: String| TokenizerError::Content {
            path: path.to_owned(),
            expected: expected.into(),
            found,
            advice: "download the file again, or convert the tokenizer to `tokenizer.json`".into(),
        };
        if model.pieces().is_empty() || model.pieces().len() > MAX_PIECES {
            let found = format!("{} pieces", model.pieces().len());
            return Err(content(&format!("1 to {MAX_PIECES} pieces"), found));
        }
        let default = Default::default();
        let trainer = model.trainer().unwrap_or(&default);
        if trainer.model_type() != ModelType::Bpe {
            let found = format!("model type {}", trainer.model_type().as_str_name());
            return Err(content("a SentencePiece model of type BPE", found));
        }
        let normalizer = Normalizer::new(model.normalizer(), trainer.treat_whitespace_as_suffix())
            .map_err(|found| content("a readable normaliser", found))?;
        let mut this = Self {
            pieces: Vec::with_capacity(model.pieces().len()),
            ordinary: HashMap::with_capacity(model.pieces().len()),
            reserved: HashMap::new(),
            user_defined: PrefixMatcher::default(),
            bytes: None,
            unk: u32::MAX,
            unk_surface: trainer.unk_surface().to_owned(),
            normalizer,
            modern: None,
        };
        for (piece, id) in model.pieces().iter().zip(0u32..) {
            let expected = "each piece once, with text and a finite score";
            this.add(id, piece.piece(), piece.score(), piece.r#type())
                .map_err(|found| content(expected, found))?;
        }
        if this.unk == u32::MAX {
            return Err(content("a piece of type UNKNOWN", "none".into()));
        }
        let user_defined = this.pieces.iter().filter(|piece| piece.kind == Type::UserDefined);
        this.user_defined = PrefixMatcher::new(user_defined.map(|piece| piece.text.clone()));
        if trainer.byte_fallback() {
            this.bytes = Some(this.byte_pieces().map_err(|missing| {
                content("256 byte pieces, as `byte_fallback` needs", format!("no `{missing}`"))
            })?);
        }
        Ok(this)
    }

    fn add(&mut self, id: u32, text: &str, score: f32, kind: Type) -> Result<(), String> {
        if text.is_empty() || !score.is_finite() {
            return Err(format!("piece {id} `{text}` with score {score}"));
        }
        let table = match kind {
            Type::Normal | Type::UserDefined | Type::Unused => &mut self.ordinary,
            Type::Unknown | Type::Control | Type::Byte => &mut self.reserved,
        };
        if let Some(first) = table.insert(text.to_owned(), id) {
            return Err(format!("piece `{text}` at both {first} and {id}"));
        }
        if kind == Type::Unknown {
            if self.unk != u32::MAX {
                return Err(format!("two UNKNOWN pieces, {} and {id}", self.unk));
            }
            self.unk = id;
        }
        self.pieces.push(Piece { text: text.to_owned(), score, kind });
        Ok(())
    }

    fn byte_pieces(&self) -> Result<Vec<u32>, String> {
        (0..=255u8)
            .map(|byte| {
                let name = format!("<0x{byte:02X}>");
                self.reserved.get(&name).copied().ok_or(name)
            })
            .collect()
    }

    /// Switches to Llama's newer handling of leading spaces, which also turns the model's own dummy
    /// prefix off.
    pub(super) fn set_modern_spaces(&mut self, modern: ModernSpaces) {
        self.normalizer.add_dummy_prefix = false;
        self.modern = Some(modern);
    }

    /// The number of pieces; their ids are `0..len`.
    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.reserved.get(token).or_else(|| self.ordinary.get(token)).copied()
    }

    pub(super) fn token(&self, id: u32) -> Option<&str> {
        self.pieces.get(id as usize).map(|piece| piece.text.as_str())
    }

    /// Whether an added token may take this piece's id: the piece is not one that text becomes.
    pub(super) fn is_placeholder(&self, id: u32) -> bool {
        self.pieces.get(id as usize).is_some_and(|piece| {
            matches!(piece.kind, Type::UserDefined | Type::Unused | Type::Control)
        })
    }

    /// What happens to a whole text before added tokens are looked for.
    pub(super) fn prepare<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match &self.modern {
            Some(modern) if !text.is_empty() => {
                let prefix = if modern.add_prefix_space { "\u{2581}" } else { "" };
                Cow::Owned(format!("{prefix}{}", text.replace(SPACE, " ")))
            }
            _ => Cow::Borrowed(text),
        }
    }

    /// Whether the id is the lone space that the newer handling drops before a special token.
    pub(super) fn is_lone_prefix(&self, id: u32) -> bool {
        self.modern.is_some() && self.token(id) == Some("\u{2581}")
    }

    /// Encodes a stretch without added tokens.
    pub(super) fn encode(&self, text: &str, ids: &mut Vec<u32>) {
        match &self.modern {
            Some(modern) if text.starts_with([SPACE, ' ']) => {
                let mut guard = Vec::new();
                self.encode_plain(&modern.unk, &mut guard);
                let mut guarded = Vec::new();
                self.encode_plain(&format!("{}{text}", modern.unk), &mut guarded);
                ids.extend(guarded.get(guard.len()..).unwrap_or(&guarded));
            }
            _ => self.encode_plain(text, ids),
        }
    }

    fn encode_plain(&self, text: &str, ids: &mut Vec<u32>) {
        let text = self.normalizer.normalize(text, &self.user_defined);
        let lookup = |piece: &str| {
            let piece = self.pieces.get(*self.ordinary.get(piece)? as usize)?;
            Some(Mergeable { score: piece.score, unused: piece.kind == Type::Unused })
        };
        let mut after_unknown = false;
        for piece in Merger::new(&text, self.symbols(&text), lookup).run() {
            let id = self.id(piece).unwrap_or(self.unk);
            if id != self.unk {
                ids.push(id);
            } else if let Some(bytes) = &self.bytes {
                ids.extend(piece.bytes().filter_map(|byte| bytes.get(usize::from(byte))));
            } else if !after_unknown {
                // A run of unknown characters is one unknown token.
                ids.push(id);
            }
            after_unknown = id == self.unk;
        }
    }

    /// Cuts a normalised text into user-defined pieces and single characters.
    fn symbols(&self, text: &str) -> impl Iterator<Item = (std::ops::Range<usize>, bool)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let rest = text.get(at..)?;
            let user_defined = self.user_defined.longest(rest);
            let length = match user_defined {
                Some(length) => length,
                None => rest.chars().next()?.len_utf8(),
            };
            let range = at..at + length;
            at += length;
            Some((range, user_defined.is_some()))
        })
    }

    /// Decodes a run of pieces: bytes join, spaces come back, and the dummy prefix goes.
    pub(super) fn decode(&self, ids: &[u32]) -> String {
        let strip = self.normalizer.add_dummy_prefix || self.normalizer.remove_extra_whitespaces;
        let mut out = String::new();
        let mut bytes = Vec::new();
        let mut at_start = true;
        for &id in ids {
            let Some(piece) = self.pieces.get(id as usize) else {
                continue;
            };
            if piece.kind == Type::Byte {
                bytes.extend(byte_value(&piece.text));
                continue;
            }
            flush(&mut bytes, &mut out);
            at_start &= out.is_empty();
            match piece.kind {
                Type::Control => continue,
                Type::Unknown => out.push_str(&self.unk_surface),
                _ => {
                    let text = piece.text.as_str();
                    let stripped = text.strip_prefix(SPACE).filter(|_| at_start && strip);
                    // Only one leading space is the dummy prefix, unless the model folds spaces
                    // anyway.
                    at_start &= stripped.is_none() || self.normalizer.remove_extra_whitespaces;
                    out.push_str(&stripped.unwrap_or(text).replace(SPACE, " "));
                }
            }
        }
        flush(&mut bytes, &mut out);
        out
    }
}

/// The value of a byte piece such as `<0x0A>`.
fn byte_value(piece: &str) -> Option<u8> {
    u8::from_str_radix(piece.strip_prefix("<0x")?.strip_suffix('>')?, 16).ok()
}

/// Appends collected bytes as text, U+FFFD for every byte that is not part of valid UTF-8.
fn flush(bytes: &mut Vec<u8>, out: &mut String) {
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
    }
    bytes.clear();
}
