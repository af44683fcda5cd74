//! Why a step on many devices fails.

use thiserror::Error;

use crate::step::StepError;

/// Why a step on many devices fails.
#[derive(Debug, Clone, Error, PartialEq)]
#[expect(missing_docs, reason = "each message says what is wrong and what its fields hold")]
pub enum ReplicaError {
    #[error("there is no device to train on; name at least one")]
    NoDevices,
    #[error(
        "device {device} failed: {message}. The step was not taken. Resume the run from its last \
         snapshot when the device is back, or without it"
    )]
    Device { device: String, message: String },
    #[error(
        "the model trains {found} weights and its replicas {expected}; they differ at {path}. \
         Start the replicas again after changing which weights are trained"
    )]
    Model { expected: usize, found: usize, path: String },
    #[error(transparent)]
    Step(#[from] StepError),
}
