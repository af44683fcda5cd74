//! What can go wrong between a checkpoint and a mask.

use mllmseg_data::image::ImageError;
use mllmseg_data::mask::MaskError;
use mllmseg_data::prompt::PromptError;
use mllmseg_data::tokenizer::TokenizerError;
use mllmseg_model::checkpoint::CheckpointError;
use mllmseg_model::config::ConfigError;
use thiserror::Error;

use crate::device::DeviceError;

/// Why there is no mask.
#[derive(Debug, Error)]
pub enum SegmentError {
    /// `config.json`.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The weights.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The words.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The mask.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A result is NaN or infinite.
    #[error(
        "{device} computed numbers that are not finite for {expression:?} in {dtype}; take --dtype f32"
    )]
    NotFinite {
        /// The device.
        device: String,
        /// The dtype.
        dtype: String,
        /// The expression.
        expression: String,
    },
    /// A tensor could not be fetched.
    #[error("{device}: the result could not be read back: {message}")]
    ReadBack {
        /// The device.
        device: String,
        /// Its reason.
        message: String,
    },
}
