//! How MLLMSeg is trained.
//!
//! | file | what |
//! | --- | --- |
//! | [`recipe`] | every number of a run |
//! | [`mix`] | the examples of each step |
//! | [`draw`] | random choices that depend on the seed and their number alone |
//! | [`batch`] | conversations with their labels and true masks |
//! | [`loss`] | Eq. 14 and 15: cross-entropy of the answer, losses of the masks, and their sum |
//! | [`trainable`] | which weights are trained |
//! | [`step`] | losses and gradients of a batch (Eq. 1-15) |
//! | `prepare` | checks a batch and encodes its images |
//! | `shared_prefix` | the layers over conversations that share an image |
//! | `gradient_checkpointing` | the same gradients in less memory |
//! | [`gradients`] | norms of gradients, and clipping by the global one |
//! | [`optimizer`] | AdamW and Muon, and their state |
//! | [`schedule`] | the learning rate |
//! | [`trainer`] | the loop |
//! | [`metrics`] | the numbers of a step, and what records them |
//! | [`display`] | what shows them |
//! | [`validation`] | masks of a validation split, scored |
//! | [`snapshot`] | what a run needs to be resumed |
//! | [`replicas`] | one step on many devices |
#![warn(missing_docs)]

#[macro_use]
mod section;

mod ahead;
pub mod batch;
pub mod display;
pub mod draw;
mod gradient_checkpointing;
pub mod gradients;
pub mod loss;
pub mod metrics;
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
pub mod trainer;
pub mod validation;

pub use batch::{HostBatch, LossCounts, TrainBatch, TrainExample};
pub use loss::{LossConfig, LossValues, MaskLoss};
pub use optimizer::{AdamW, OptimizerConfig};
pub use recipe::{Recipe, RecipeError};
pub use replicas::{NamedDevice, ReplicaError, Replicas};
pub use schedule::WarmupCosine;
pub use step::{GradientShare, StepError, StepGradients, TrainStep};
pub use trainable::{BatchNormStatistics, TrainableSet, TrainingMode};
pub use trainer::{TrainError, Trainer};

/// The device of this crate's own tests: the CPU, whichever others are built in.
#[cfg(test)]
pub(crate) fn test_device() -> burn::tensor::Device {
    burn::tensor::Device::flex()
}
