//! What can go wrong between a recipe and a trained model.

use std::path::PathBuf;

use mllmseg_data::tokenizer::TokenizerError;
use mllmseg_model::checkpoint::CheckpointError;
use mllmseg_train::mix::MixError;
use mllmseg_train::snapshot::SnapshotError;
use mllmseg_train::{RecipeError, ReplicaError, TrainError};
use thiserror::Error;

use crate::device::DeviceError;
use crate::segmenter::SegmentError;

/// Why a run cannot start, continue or end.
#[derive(Debug, Error)]
pub enum TrainingError {
    /// The recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The base.
    #[error(transparent)]
    Base(#[from] SegmentError),
    /// The base's tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The data.
    #[error(transparent)]
    Data(#[from] MixError),
    /// A snapshot.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The training itself.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The replicas on several devices.
    #[error(transparent)]
    Replicas(#[from] ReplicaError),
    /// A device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A checkpoint of the run.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A name in the recipe that means nothing: where, and what was expected and found.
    #[error("recipe: {0}: {1}")]
    Name(&'static str, String),
    /// A folder that holds a run already.
    #[error("{0} holds a training run already; resume it by --resume, or take another folder")]
    Exists(PathBuf),
    /// A folder that holds none.
    #[error("{dir} holds no training run ({missing} is missing); start one without --resume")]
    NoRun {
        /// The folder.
        dir: PathBuf,
        /// The first file that is not there.
        missing: &'static str,
    },
    /// A file of the run that cannot be read or written.
    #[error("{path}: {message}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// `--init` with a base.
    #[error("{0} has no mask decoder: it is a base, to be given by --base and not by --init")]
    NotTrained(PathBuf),
    /// A start from nothing without sizes for the new model.
    #[error(
        "the recipe has no [new_model], so the run needs a start: --base DIR for a base checkpoint, \
         or --init DIR for a trained model"
    )]
    NoStart,
}
