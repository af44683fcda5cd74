//! The constants of the optimizer.

use serde::{Deserialize, Serialize};

/// The constants of AdamW.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the first moment, the running mean of gradients.
    pub beta_1: f64,
    /// Decay of the second moment, the running mean of squared gradients.
    pub beta_2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Share of a weight that decays, per step and unit of learning rate.
    pub weight_decay: f64,
    /// What updates matrices.
    pub matrix_optimizer: MatrixOptimizer,
}

/// What updates the matrices between hidden states; AdamW updates everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MatrixOptimizer {
    /// AdamW too: the published recipe.
    #[default]
    AdamW,
    /// Muon, by their orthogonalised momentum: a model that starts from nothing needs fewer steps to
    /// learn rare kinds of expressions.
    Muon,
}

impl Default for AdamWConfig {
    /// The published recipe.
    fn default() -> Self {
        let matrix_optimizer = MatrixOptimizer::AdamW;
        Self { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8, weight_decay: 0.05, matrix_optimizer }
    }
}
