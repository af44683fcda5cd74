//! The arguments of every command that asks a model.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use mllmseg::Segmenter;
use mllmseg::device::{DeviceChoice, DtypeChoice};

use super::CliError;

/// Which model, and where and in what numbers it computes.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Folder of the model: config.json, tokenizer files and weights
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    checkpoint: PathBuf,
    /// auto, cpu, cuda[:N], wgpu[:N], vulkan[:N], metal[:N] or rocm[:N]
    ///
    /// auto takes a hardware GPU when there is one, else the CPU, and says which.
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Number type of the big parts of the model: auto, f32, f16 or bf16
    ///
    /// auto is bf16 on a GPU that computes it, else f32.
    #[arg(long, default_value = "auto")]
    dtype: DtypeChoice,
}

impl ModelArgs {
    /// The folder of the model.
    pub fn checkpoint(&self) -> &Path {
        &self.checkpoint
    }

    /// Loads the model, and warns where its masks mean nothing.
    ///
    /// # Errors
    /// A device that is not there, or what [`Segmenter::load_as`] finds.
    pub fn load(&self) -> Result<Segmenter, CliError> {
        let device = self.device.select()?;
        let segmenter = Segmenter::load_as(self.checkpoint(), &device, self.dtype)?;
        if segmenter.report().fresh_mask_decoder {
            eprintln!(
                "warning: {} has no mask decoder (a base model); its masks mean nothing until it is trained",
                self.checkpoint().display()
            );
        }
        Ok(segmenter)
    }
}
