//! `tokenizer.model`: a SentencePiece byte-pair model, as the InternLM2 sizes ship it.
//!
//! The published Python code reads it with a slow tokenizer (`InternLM2Tokenizer`), which hands
//! each stretch between added tokens to `sp_model.encode` on its own, so the dummy prefix, if the
//! model has one, is put before every stretch.

use super::added::AddedTokens;
use super::engine::Engine;
use super::error::{Result, TokenizerError};
use super::model_proto::{MAX_PIECES, ModelProto, Piece, PieceKind, TrainerSpec};
use super::normalizer::{Normalizer, SPACE};
use super::piece_merge::Merger;
use super::prefix_map::PrefixMap;
use std::collections::HashMap;
use std::path::Path;

/// A SentencePiece byte-pair model.
#[derive(Debug)]
pub(super) struct SentencePiece {
    pieces: Vec<Piece>,
    ids: HashMap<String, u32>,
    user_defined: PrefixMap,
    /// The ids of `<0x00>` to `<0xFF>`, when unknown characters fall back to bytes.
    bytes: Option<Vec<u32>>,
    unk: u32,
    unk_surface: String,
    normalizer: Normalizer,
}

impl SentencePiece {
    /// Builds the model from the file's bytes.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        let content = |expected: &str, found: String| TokenizerError::Content {
            path: path.to_owned(),
            expected: expected.into(),
            found,
            advice: "the file may be truncated or a Git LFS pointer: download it again",
        };
        let ModelProto { pieces, trainer, normalizer } =
            ModelProto::parse(bytes).map_err(|found| content("a SentencePiece model", found))?;
        if pieces.is_empty() {
            return Err(content(&format!("1 to {MAX_PIECES} pieces"), "0 pieces".into()));
        }
        if trainer.model_type != TrainerSpec::BPE {
            let found = format!("model type {}", trainer.model_type_name());
            return Err(content("a SentencePiece model of type BPE", found));
        }
        if trainer.treat_whitespace_as_suffix {
            let found = "`treat_whitespace_as_suffix`".into();
            return Err(content("a model with the space before a word", found));
        }
        let normalizer = Normalizer::new(&normalizer)
            .map_err(|found| content("a readable normaliser", found))?;
        let mut this = Self {
            ids: HashMap::with_capacity(pieces.len()),
            pieces,
            user_defined: PrefixMap::default(),
            bytes: None,
            unk: 0,
            unk_surface: trainer.unk_surface,
            normalizer,
        };
        this.index().map_err(|found| {
            content("pieces with text and a finite score, each once, one of type UNKNOWN", found)
        })?;
        if trainer.byte_fallback {
            let names = (0..=255u8).map(|byte| format!("<0x{byte:02X}>"));
            let ids = names.map(|name| this.ids.get(&name).copied().ok_or(name)).collect();
            let bytes: Result<_, String> = ids;
            this.bytes = Some(bytes.map_err(|missing| {
                content("256 byte pieces, as `byte_fallback` needs", format!("no `{missing}`"))
            })?);
        }
        Ok(this)
    }

    /// Fills the maps from the pieces.
    fn index(&mut self) -> Result<(), String> {
        let mut unknown = None;
        for (Piece { text, score, kind }, id) in self.pieces.iter().zip(0u32..) {
            if text.is_empty() || !score.is_finite() {
                return Err(format!("piece {id} `{text}` with score {score}"));
            }
            if let Some(first) = self.ids.insert(text.to_owned(), id) {
                return Err(format!("piece `{text}` at both {first} and {id}"));
            }
            match kind {
                PieceKind::UserDefined => self.user_defined.insert(text, id),
                PieceKind::Unknown => {
                    if let Some(first) = unknown.replace(id) {
                        return Err(format!("two UNKNOWN pieces, {first} and {id}"));
                    }
                }
                _ => {}
            }
        }
        self.unk = unknown.ok_or("none of type UNKNOWN")?;
        Ok(())
    }

    fn piece(&self, id: u32) -> Option<(&str, f32, PieceKind)> {
        let Piece { text, score, kind } = self.pieces.get(id as usize)?;
        Some((text, *score, *kind))
    }

    /// Encodes a stretch without added tokens.
    fn encode_part(&self, text: &str, ids: &mut Vec<u32>) {
        let text = self.normalizer.normalize(text, &self.user_defined);
        let lookup = |piece: &str| match self.piece(*self.ids.get(piece)?)? {
            (_, score, PieceKind::Normal | PieceKind::UserDefined) => Some((score, false)),
            (_, score, PieceKind::Unused) => Some((score, true)),
            _ => None,
        };
        let mut after_unknown = false;
        for piece in Merger::new(&text, self.symbols(&text), lookup).run() {
            let id = self.ids.get(piece).copied().unwrap_or(self.unk);
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
                Some((length, _)) => length,
                None => rest.chars().next()?.len_utf8(),
            };
            let range = at..at + length;
            at += length;
            Some((range, user_defined.is_some()))
        })
    }

    /// Decodes a run of pieces: bytes join, spaces come back, and the dummy prefix goes.
    fn decode_run(&self, ids: &[u32]) -> String {
        let fold = self.normalizer.remove_extra_whitespaces;
        let strip = self.normalizer.add_dummy_prefix || fold;
        let mut out = String::new();
        let mut bytes = Vec::new();
        let mut at_start = true;
        for (text, _, kind) in ids.iter().filter_map(|&id| self.piece(id)) {
            if kind == PieceKind::Byte {
                bytes.extend(byte_value(text));
                continue;
            }
            flush(&mut bytes, &mut out);
            at_start &= out.is_empty();
            match kind {
                PieceKind::Control => continue,
                PieceKind::Unknown => out.push_str(&self.unk_surface),
                _ => {
                    let stripped = text.strip_prefix(SPACE).filter(|_| at_start && strip);
                    // Only one leading space is the dummy prefix, unless the model folds spaces
                    // anyway.
                    at_start &= stripped.is_none() || fold;
                    out.push_str(&stripped.unwrap_or(text).replace(SPACE, " "));
                }
            }
        }
        flush(&mut bytes, &mut out);
        out
    }
}

impl Engine for SentencePiece {
    fn adds_prefix_space(&self) -> Option<bool> {
        Some(self.normalizer.add_dummy_prefix)
    }

    fn len(&self) -> usize {
        self.pieces.len()
    }

    fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    fn token(&self, id: u32) -> Option<String> {
        self.piece(id).map(|(text, ..)| text.to_owned())
    }

    fn is_placeholder(&self, id: u32) -> bool {
        let kind = self.piece(id).map(|(.., kind)| kind);
        matches!(kind, Some(PieceKind::UserDefined | PieceKind::Unused | PieceKind::Control))
    }

    fn encode(&self, text: &str, added: &AddedTokens) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        for (part, token) in added.split(text) {
            self.encode_part(part, &mut ids);
            ids.extend(token.map(|token| token.id));
        }
        Ok(ids)
    }

    fn decode(&self, ids: &[u32], skip_special: bool, added: &AddedTokens) -> Result<String> {
        added.join(ids, skip_special, |run| Ok(self.decode_run(run)))
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
