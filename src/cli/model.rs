//! The arguments of every command that asks a model.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use mllmseg::Segmenter;
use mllmseg::data::mask::probability::THRESHOLD;
use mllmseg::device::{DeviceChoice, DtypeChoice, idle_gpu};
use mllmseg::model::quantize::Quantization;
use mllmseg::tiny;

use super::CliError;
use super::checkpoint::checkpoint_folder;
use super::terminal::{note, warn};

/// Which model, on which device and in which dtype.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// The model: a folder with config.json, tokenizer files and weights, or OWNER/NAME on the hub
    ///
    /// A model of the hub is fetched once into the hub's cache (HF_HOME). Without --checkpoint, the tiny model that travels with the program: it knows images that `mllmseg
    /// synth` draws, and nothing of photographs.
    #[arg(long, value_name = "DIR|OWNER/NAME", value_hint = ValueHint::DirPath)]
    checkpoint: Option<PathBuf>,
    /// Folder of an adapter for it, as PEFT saves it: adapter_config.json and adapter_model.safetensors
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, requires = "checkpoint")]
    adapter: Option<PathBuf>,
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
    /// What weights are kept in, on the CPU: none (f32), bf16 (half the memory; the same masks where the
    /// file is in bf16) or q8 (a quarter; masks differ a little)
    ///
    /// They are computed in f32 all the same. The token table, adapters and mask decoder are not concerned.
    #[arg(long, value_name = "BITS", default_value = "none")]
    quantize: Quantization,
    /// Probability, 0 to 1, from which on a pixel belongs to a mask
    #[arg(long, value_name = "P", default_value_t = THRESHOLD, value_parser = threshold)]
    threshold: f32,
}

fn threshold(text: &str) -> Result<f32, String> {
    let number = text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| "expected a number from 0 to 1".into())
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
            note(line);
        }
        let folder = match &self.checkpoint {
            Some(name) => checkpoint_folder(name)?,
            None => {
                note(tiny::NOTICE);
                tiny::folder().map_err(|error| {
                    format!("the tiny model cannot be unpacked: {error}; name one by --checkpoint")
                })?
            }
        };
        let mut segmenter = match (self.quantize, &self.adapter) {
            (Quantization::None, None) => Segmenter::load_as(&folder, &device, self.dtype)?,
            (Quantization::None, Some(adapter)) => {
                Segmenter::load_with_adapter(&folder, adapter, &device, self.dtype)?
            }
            _ if !matches!(self.dtype, DtypeChoice::Auto | DtypeChoice::F32) => {
                return Err(
                    "--quantize keeps weights that are computed in f32; take --dtype f32".into()
                );
            }
            (kept, adapter) => {
                Segmenter::load_quantized(&folder, adapter.as_deref(), &device, kept)?
            }
        };
        segmenter.threshold = self.threshold;
        for text in &segmenter.report.notes {
            note(format!("note: {}: {text}", folder.display()));
        }
        if segmenter.report.fresh_mask_decoder {
            warn(format!(
                "warning: {} has no mask decoder (a base model); its masks mean nothing until it is trained",
                folder.display()
            ));
        }
        Ok(segmenter)
    }
}
