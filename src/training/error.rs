//! What can go wrong between a recipe and a trained model.

use std::path::PathBuf;

use mllmseg_data::files::FileError;
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
#[error(transparent)]
#[allow(missing_docs, reason = "names and messages of the variants say what failed")]
pub enum TrainingError {
    Recipe(#[from] RecipeError),
    Base(#[from] SegmentError),
    Tokenizer(#[from] TokenizerError),
    Data(#[from] MixError),
    Snapshot(#[from] SnapshotError),
    Train(#[from] TrainError),
    Replicas(#[from] ReplicaError),
    Device(#[from] DeviceError),
    Checkpoint(#[from] CheckpointError),
    File(#[from] FileError),
    #[error("recipe: {0}: {1}")]
    Name(&'static str, String),
    #[error("{0} holds a training run already; resume it by --resume, or take another folder")]
    Exists(PathBuf),
    #[error("{0}: another training works in this folder; wait for its end, or take another folder")]
    Busy(PathBuf),
    #[error("{0} holds no training run ({1} is missing); start one without --resume")]
    NoRun(PathBuf, &'static str),
    #[error("{0}: {1}")]
    Places(PathBuf, Box<toml::de::Error>),
    #[error("{0} has no mask decoder: it is a base, to be given by --base and not by --init")]
    NotTrained(PathBuf),
    #[error(
        "the recipe has no [new_model], so the run needs a start: --base DIR for a base checkpoint, \
         or --init DIR for a trained model"
    )]
    NoStart,
}
