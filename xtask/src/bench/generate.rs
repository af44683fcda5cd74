//! An answer, token by token.

use std::error::Error;

use mllmseg::model::PrefixState;

use super::clock::{Clock, Parts};
use super::rounds::Rounds;
use super::session::Session;
use super::setting::Setting;
use crate::drawn::TOKENS_AFTER_IMAGE;

/// Tokens of the answer.
pub const TOKENS: usize = 32;

/// A question that is already in the cache.
pub struct GenerateWork {
    session: Session,
    state: PrefixState,
    clock: Clock,
}

impl GenerateWork {
    pub fn new(setting: &Setting) -> Result<Self, Box<dyn Error>> {
        let session = Session::new(setting.model()?, setting);
        let mut state = session.encode(&mut Parts::new());
        session.model.forward_cached(session.questions(1), &mut state.cache);
        Ok(Self { session, state, clock: setting.clock })
    }
}

impl Rounds for GenerateWork {
    /// As `ImageSession::generate`: each token is read back before the next.
    fn round(&mut self) -> Result<Parts, Box<dyn Error>> {
        let (model, mut parts) = (&self.session.model, Parts::new());
        self.clock.time(&mut parts, "tokens", || {
            let mut cache = self.state.cache.clone();
            let mut id = self.session.questions(1).narrow(1, TOKENS_AFTER_IMAGE - 1, 1); // [1, 1]
            for _ in 0..TOKENS {
                let state = model.forward_cached(id, &mut cache); // [1, 1, d]
                id = model.language_model.predicted_ids(state).reshape([1, 1]);
                let _ = id.clone().into_data();
            }
        });
        Ok(parts)
    }
}
