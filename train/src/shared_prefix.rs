//! The layers of the language model over conversations that share an image.
//!
//! Where several examples share an image, each layer computes the prefix up to `</img>` once, and the
//! continuations of all these examples attend to its keys and values. Gradients flow back through
//! the keys and values. A batch without shared images has no continuations.

use burn::tensor::{Int, Tensor};
use mllmseg_model::dropout::training_forward;
use mllmseg_model::language::{AttentionContext, DecoderLayer, LanguageModel};

/// Prefixes `[b, t, d]` (or whole conversations) and continuations `[n, t', d]`.
#[derive(Debug, Clone)]
pub(crate) struct SharedPrefixBatch {
    pub prefixes: Tensor<3>,
    pub continuations: Option<Tensor<3>>,
}

/// Rotary embedding and masks of both, for every layer; and the prefix of each continuation, `[n]`.
pub(crate) struct SharedPrefixContext {
    prefixes: AttentionContext,
    continuations: Option<(AttentionContext, Tensor<1, Int>)>,
}

impl SharedPrefixBatch {
    /// Applies a function to both.
    pub fn map(self, mut f: impl FnMut(Tensor<3>) -> Tensor<3>) -> Self {
        Self { prefixes: f(self.prefixes), continuations: self.continuations.map(f) }
    }

    /// Whether a gradient is recorded for either.
    pub fn is_tracked(&self) -> bool {
        self.continuations.iter().chain([&self.prefixes]).any(|x| x.is_tracked())
    }

    /// Rotary embedding and masks. `prefix_of` names the prefix of each continuation, `[n]`.
    pub fn context(
        &self,
        model: &LanguageModel,
        prefix_of: Option<Tensor<1, Int>>,
    ) -> SharedPrefixContext {
        let [_, length, _] = self.prefixes.dims();
        let continuations = self.continuations.as_ref().zip(prefix_of).map(|(x, prefix_of)| {
            let [_, further, _] = x.dims();
            (AttentionContext::new(&model.config, x, length, length + further), prefix_of)
        });
        let prefixes = AttentionContext::new(&model.config, &self.prefixes, 0, length);
        SharedPrefixContext { prefixes, continuations }
    }

    /// One layer of both; `dropout_seed` decides the dropout of its adapters.
    pub fn forward(
        self,
        layer: &DecoderLayer,
        context: &SharedPrefixContext,
        dropout_seed: u64,
    ) -> Self {
        training_forward(dropout_seed, || {
            let (prefixes, past) = layer.forward(self.prefixes, &context.prefixes, None);
            let continuations = self.continuations.zip(context.continuations.as_ref());
            let continuations = continuations.map(|(x, (context, prefix_of))| {
                let past = past.map(|x| x.select(0, prefix_of.clone())); // [n, kv_heads, t, head_dim]
                layer.forward(x, context, Some(past)).0
            });
            Self { prefixes, continuations }
        })
    }
}
