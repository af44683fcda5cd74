//! What can go wrong between a checkpoint and a mask.

use std::path::PathBuf;

use mllmseg_data::files::FileError;
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
#[error(transparent)]
#[allow(missing_docs, reason = "the name of a variant says what failed")]
pub enum SegmentError {
    Config(#[from] ConfigError),
    Checkpoint(#[from] CheckpointError),
    Tokenizer(#[from] TokenizerError),
    Prompt(#[from] PromptError),
    Image(#[from] ImageError),
    Mask(#[from] MaskError),
    Device(#[from] DeviceError),
    File(#[from] FileError),
    /// The device, the expression and the dtype of a NaN or an infinite number.
    #[error("{0} computed numbers that are not finite for {1:?} in {2}; take --dtype f32")]
    NotFinite(String, String, &'static str),
    /// The device.
    #[error(
        "{0}: weights are kept in bf16 or 8 bits on the CPU only; take --device cpu, or --dtype bf16 or f16 in \
         place of --quantize"
    )]
    QuantizedDevice(String),
    /// Weights are not what they were.
    #[error("weights that are kept in fewer bits are not saved; load the model without --quantize")]
    QuantizedSave,
    /// Weights that have no place, also in 8 bits.
    #[error(
        "{}: its weights take {:.1} GB in 8 bits, but here is room for {:.1} GB",
        name.display(), *needed as f64 / 1e9, *memory as f64 / 1e9
    )]
    TooLarge {
        name: PathBuf,
        needed: u64,
        memory: u64,
    },
    /// A weight that the device has no place for.
    #[error(
        "{}: its largest weight takes {:.1} GB, but {device} takes {:.1} GB at most",
        name.display(), *needed as f64 / 1e9, *most as f64 / 1e9
    )]
    LargeWeight {
        name: PathBuf,
        device: String,
        needed: u64,
        most: u64,
    },
    /// A base model; its weights for new tokens are drawn and read synchronously.
    #[error("{}: it has no mask decoder; such a model loads on the CPU only", .0.display())]
    NoMaskDecoder(PathBuf),
    /// The device, and why its result could not be fetched.
    #[error("{0}: the result could not be read back: {1}")]
    ReadBack(String, String),
}
