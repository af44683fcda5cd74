//! Why a reference checkpoint could not be written.

use std::io;
use std::path::PathBuf;

use safetensors::SafeTensorError;
use thiserror::Error;

/// The most values one tensor may have (4 GiB in `f32`): a shape beyond it is a mistake in
/// `tensors.json`.
pub const MAX_VALUES: usize = 1 << 30;

/// Why a checkpoint could not be written.
#[derive(Debug, Error)]
pub enum WeightsError {
    /// A file could not be read, copied or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file concerned.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of the case is not the JSON that it should be.
    #[error("{}: expected {expected}: {source}", path.display())]
    Json {
        /// The file concerned.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A shape in `tensors.json` is too large to fill.
    #[error(
        "tensors.json: {name} has shape {shape:?}; a tensor may have at most {MAX_VALUES} values"
    )]
    TooLarge {
        /// The tensor's name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// The number of shards does not suit the case.
    #[error("{shards} shards for {tensors} tensors: give a number from 1 to {tensors}")]
    Shards {
        /// The number asked for.
        shards: usize,
        /// How many tensors the case has.
        tensors: usize,
    },
    /// The folder has weights of another run, which a loader could take for these.
    #[error("{} is left from another checkpoint: remove it or choose another folder", path.display())]
    Stale {
        /// The file in the way.
        path: PathBuf,
    },
    /// A weight file could not be written.
    #[error("{}: {source}", path.display())]
    Safetensors {
        /// The file concerned.
        path: PathBuf,
        /// What the writer said.
        source: SafeTensorError,
    },
    /// The name of a float type is not known.
    #[error("float type {0:?}: expected f32, bf16 or f16")]
    FloatType(String),
}
