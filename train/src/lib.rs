//! How MLLMSeg learns.
//!
//! | file | what |
//! | --- | --- |
//! | [`recipe`] | every number of a run |
//! | [`mix`] | which examples a step learns from |
//! | [`draw`] | random choices that depend on their number alone |
//! | [`batch`] | conversations with their labels and true masks |
//! | [`loss`] | Eq. 14 and 15: cross-entropy of the answer, losses of the masks, and their sum |
//! | [`trainable`] | which weights learn |
//! | [`step`] | from a batch to losses and gradients |
//! | `prepare` | a batch checked and its images encoded |
//! | `shared_prefix` | the layers over conversations that share an image |
//! | `gradient_checkpointing` | the same gradients in less memory |
//! | [`gradients`] | norms of gradients, and clipping by the global one |
//! | [`optimizer`] | AdamW |
//! | [`schedule`] | the learning rate |
//! | [`validation`] | masks of a validation split, scored |
//! | [`snapshot`] | what a run needs to go on |
//! | [`learner`] | the loop, on burn-train |
//! | [`replicas`] | one step on many devices |
#![warn(missing_docs)]

pub mod batch;
pub mod draw;
mod gradient_checkpointing;
pub mod gradients;
pub mod learner;
pub mod loss;
pub mod mix;
pub mod optimizer;
mod prepare;
pub mod recipe;
pub mod replicas;
pub mod schedule;
mod shared_prefix;
pub mod snapshot;
pub mod step;
mod step_error;
pub mod trainable;
pub mod validation;

pub use batch::{HostBatch, LossCounts, TrainBatch, TrainExample};
pub use loss::{LossValues, LossWeights, MaskLoss};
pub use optimizer::{AdamW, AdamWConfig};
pub use recipe::{Recipe, RecipeError};
pub use replicas::{NamedDevice, ReplicaError, Replicas};
pub use schedule::WarmupCosine;
pub use step::{GradientShare, StepError, StepGradients, TrainStep};
pub use trainable::TrainableSet;

/// The device of this crate's own tests: the CPU, whichever others are built in.
#[cfg(test)]
pub(crate) fn test_device() -> burn::tensor::Device {
    burn::tensor::Device::flex()
}
