//! What the kinds of work have in common.

use std::error::Error;

use super::clock::Parts;

/// Work that is ready to be done again and again.
pub trait Rounds {
    /// Does it once.
    fn round(&mut self) -> Result<Parts, Box<dyn Error>>;
}
