//! The constants of the optimizer.

use serde::{Deserialize, Serialize};

recipe_section! {
    /// AdamW, its schedule and the clipping of gradients.
    #[derive(Copy)]
    pub struct OptimizerConfig {
        /// The highest learning rate, after the warm-up.
        pub learning_rate: f64 = 4e-5,
        /// Share of the steps in which the rate rises; then it falls to 0 by a cosine.
        pub warmup: f64 = 0.03,
        /// The step at which the rate is 0; by default the last one. The run of a curriculum stage
        /// may end before it.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub schedule_steps: Option<usize> = None,
        /// Decay of the first moment, the running mean of gradients.
        pub beta_1: f64 = 0.9,
        /// Decay of the second moment, the running mean of squared gradients.
        pub beta_2: f64 = 0.999,
        /// Added to the root of the second moment.
        pub epsilon: f64 = 1e-8,
        /// Share of a weight that decays, per step and unit of learning rate.
        pub weight_decay: f64 = 0.05,
        /// What updates matrices: `adamw`, as everything else, or `muon`.
        #[serde(alias = "matrices")]
        pub matrix_optimizer: MatrixOptimizer = MatrixOptimizer::AdamW,
        /// All gradients are scaled by one factor, down to this global norm.
        pub max_gradient_norm: f64 = 1.0,
    }
}

/// What updates the matrices between hidden states; AdamW updates everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MatrixOptimizer {
    /// AdamW too: the published recipe.
    AdamW,
    /// Muon, by their orthogonalised momentum: a model that starts from nothing needs fewer steps to
    /// learn rare kinds of expressions.
    Muon,
}
