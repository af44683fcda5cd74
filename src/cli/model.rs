//! The arguments of every command that asks a model.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use mllmseg::Segmenter;
use mllmseg::device::{DeviceChoice, DtypeChoice, idle_gpu};
use mllmseg::tiny;

use super::CliError;

/// Which model, on which device and in which dtype.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Folder of the model: config.json, tokenizer files and weights
    ///
    /// Without one, the tiny model that travels with the program: it knows images that `mllmseg
    /// synth` draws, and nothing of photographs.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    checkpoint: Option<PathBuf>,
    /// auto, cpu, cuda[:N], wgpu[:N], vulkan[:N], metal[:N] or rocm[:N]
    ///
    /// auto takes a hardware GPU when there is one, else the CPU, and says which.
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Dtype of the large parts of the model: auto, f32, f16 or bf16
    ///
    /// auto is bf16 on a GPU that computes it, else f32.
    #[arg(long, default_value = "auto")]
    dtype: DtypeChoice,
}

impl ModelArgs {
    /// Whether no model was named, so that the tiny one is taken.
    #[cfg(feature = "serve")]
    pub fn is_tiny(&self) -> bool {
        self.checkpoint.is_none()
    }

    /// Loads the model, and warns if it is untrained.
    pub fn load(&self) -> Result<Segmenter, CliError> {
        let device = self.device.select()?;
        if self.device == DeviceChoice::Auto
            && let Some(line) = idle_gpu()
        {
            eprintln!("{line}");
        }
        let folder = match &self.checkpoint {
            Some(folder) => folder.clone(),
            None => {
                eprintln!("{}", tiny::NOTICE);
                tiny::folder().map_err(|error| {
                    format!("the tiny model cannot be unpacked: {error}; name one by --checkpoint")
                })?
            }
        };
        let segmenter = Segmenter::load_as(&folder, &device, self.dtype)?;
        if segmenter.report.fresh_mask_decoder {
            eprintln!(
                "warning: {} has no mask decoder (a base model); its masks mean nothing until it is trained",
                folder.display()
            );
        }
        Ok(segmenter)
    }
}
