//! The trainer on burn-train: [`SupervisedTraining`](burn::train::SupervisedTraining) with a
//! strategy of its own.
//!
//! | file | what |
//! | --- | --- |
//! | [`trainee`] | the model as burn-train's learner sees it: one step, one update, one validation |
//! | [`loader`] | steps and validation passes, prepared ahead |
//! | [`strategy`] | the loop: updates, snapshots, validations, stopping |
//! | [`metrics`] | the numbers that are shown |
//! | [`lines`] | plain lines with the time that is left, where there is no terminal |
//! | [`curves`] | the numbers of every step as CSV, and as a picture |
//!
//! burn-train's own strategies clip no global norm, save the model and the optimizer in separate
//! files and only once an epoch. Here an epoch is the stretch between two validations, and
//! [`snapshot`](crate::snapshot) takes the place of its checkpointers.

pub mod curves;
pub mod lines;
pub mod loader;
pub mod metrics;
pub mod strategy;
pub mod trainee;

pub use strategy::{Outcome, TrainError, TrainingRun, train};
