//! How MLLMSeg learns: losses, trained weights, optimizer and one training step.
//!
//! | file | what |
//! | --- | --- |
//! | [`batch`] | conversations with their labels and true masks |
//! | [`loss`] | Eq. 14: cross-entropy of the answer, and the losses of the masks |
//! | [`trainable`] | which weights learn |
//! | [`step`] | from a batch to losses and gradients |
//! | [`recompute`] | the same in less memory |
//! | [`gradients`] | norms of gradients, and clipping by the global one |
//! | [`optimizer`] | AdamW |
//! | [`schedule`] | the learning rate |
#![warn(missing_docs)]

pub mod batch;
pub mod gradients;
pub mod loss;
pub mod optimizer;
pub mod recompute;
pub mod schedule;
pub mod step;
pub mod trainable;

pub use batch::{HostBatch, LossCounts, TrainBatch, TrainExample};
pub use loss::{LossValues, LossWeights, MaskLoss};
pub use optimizer::{AdamW, AdamWConfig};
pub use schedule::WarmupCosine;
pub use step::{GradientShare, StepError, StepGradients, TrainStep};
pub use trainable::TrainableSet;

/// The device of this crate's own tests: the CPU, whichever others are built in.
#[cfg(test)]
pub(crate) fn test_device() -> burn::tensor::Device {
    burn::tensor::Device::flex()
}
