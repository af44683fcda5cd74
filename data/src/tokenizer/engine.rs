//! What the base vocabularies of all formats have in common.

use super::added::AddedTokens;
use super::error::Result;
use std::fmt::Debug;

/// A base vocabulary, and how it turns text into ids.
pub(super) trait Engine: Debug + Send + Sync {
    /// The number of base tokens; their ids are `0..len`.
    fn len(&self) -> usize;

    /// A base token's id.
    fn id(&self, token: &str) -> Option<u32>;

    /// A base id's token.
    fn token(&self, id: u32) -> Option<String>;

    /// Whether an added token may take this base id: no text becomes its token.
    fn is_placeholder(&self, _id: u32) -> bool {
        false
    }

    /// Takes over the added tokens that are new since the last call.
    fn add(&mut self, _added: &AddedTokens) -> Result<()> {
        Ok(())
    }

    /// The ids of a text in which added tokens may occur.
    fn encode(&self, text: &str, added: &AddedTokens) -> Result<Vec<u32>>;

    /// The text of ids that are all in the vocabulary or among the added tokens.
    fn decode(&self, ids: &[u32], skip_special: bool, added: &AddedTokens) -> Result<String>;

    /// Whether a text is read as if a space were before it; `None` where the format does not say.
    fn adds_prefix_space(&self) -> Option<bool> {
        None
    }

    /// `tokenizer.json` with all added tokens, where that is the engine's format.
    fn to_json(&self) -> Result<Option<String>> {
        Ok(None)
    }
}
