//! SentencePiece's text normalisation, as a model file's `normalizer_spec` asks for it.
//!
//! Facts: `normalizer.cc` and `sentencepiece_model.proto` of google/sentencepiece. The order is:
//! rewrite by the compiled character map (longest match first), fold spaces, add the dummy prefix,
//! write spaces as U+2581.

use super::chars_map::CharsMap;
use super::model_proto::NormalizerSpec;
use super::prefix_map::PrefixMap;

/// The character that stands for a space inside pieces.
pub(super) const SPACE: char = '\u{2581}';

/// The normaliser of one model.
#[derive(Debug, Clone)]
pub(super) struct Normalizer {
    chars_map: Option<CharsMap>,
    pub(super) add_dummy_prefix: bool,
    pub(super) remove_extra_whitespaces: bool,
    /// What a space is written as.
    space: char,
}

impl Normalizer {
    /// Takes the flags from the model file (whose absent ones default to true, as the format says).
    pub(super) fn new(spec: &NormalizerSpec) -> Result<Self, String> {
        Ok(Self {
            chars_map: CharsMap::parse(&spec.precompiled_charsmap)?,
            add_dummy_prefix: spec.add_dummy_prefix,
            remove_extra_whitespaces: spec.remove_extra_whitespaces,
            space: if spec.escape_whitespaces { SPACE } else { ' ' },
        })
    }

    /// The normalised text; user-defined pieces in it stay as they are.
    pub(super) fn normalize(&self, mut text: &str, user_defined: &PrefixMap) -> String {
        let fold = self.remove_extra_whitespaces;
        let mut out = String::with_capacity(text.len() + text.len() / 4 + 3);
        if self.add_dummy_prefix && !text.is_empty() {
            out.push(self.space);
        }
        let mut after_space = fold;
        while let Some((mut part, length)) = self.step(text, user_defined) {
            text = text.get(length..).unwrap_or_default();
            if after_space {
                part = part.trim_start_matches(' ');
            }
            if !part.is_empty() {
                after_space = fold && part.ends_with(' ');
                out.extend(part.chars().map(|c| if c == ' ' { self.space } else { c }));
            }
        }
        if fold {
            out.truncate(out.trim_end_matches(self.space).len());
        }
        out
    }

    /// What the next stretch of `rest` becomes, and that stretch's length in bytes; `None` at the
    /// end.
    fn step<'a>(&'a self, rest: &'a str, user_defined: &PrefixMap) -> Option<(&'a str, usize)> {
        if let Some((length, _)) = user_defined.longest(rest) {
            return Some((rest.get(..length)?, length));
        }
        if let Some(found) = self.chars_map.as_ref().and_then(|map| map.longest(rest)) {
            return Some(found);
        }
        let length = rest.chars().next()?.len_utf8();
        Some((rest.get(..length)?, length))
    }
}
