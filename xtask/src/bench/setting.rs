//! What every work needs to know.

use std::error::Error;
use std::path::Path;

use burn::module::Module;
use burn::tensor::DType;
use mllmseg::device::SelectedDevice;
use mllmseg::model::checkpoint::{LoadOptions, load_model};
use mllmseg::model::quantize::Quantization;
use mllmseg::model::{Mllmseg, MllmsegConfig, Preset};

use super::clock::Clock;
use crate::drawn;
use crate::memory::Workload;

/// Sizes, device, dtype and clock.
#[derive(Clone)]
pub struct Setting {
    /// Of the sizes.
    pub name: &'static str,
    pub preset: Preset,
    pub config: MllmsegConfig,
    pub device: SelectedDevice,
    pub dtype: DType,
    pub quantization: Quantization,
    pub images: usize,
    pub clock: Clock,
}

impl Setting {
    /// A model with drawn weights, on the CPU as it is loaded from a file.
    pub fn model(&self) -> Result<Mllmseg, Box<dyn Error>> {
        if self.device.id != "cpu" {
            return Ok(drawn::model(&self.config, None, self.dtype, &self.device.device).valid());
        }
        let folder = tempfile::tempdir()?;
        drawn::checkpoint(&self.config, folder.path(), DType::BF16)?;
        self.load(folder.path())
    }

    /// The model of a checkpoint.
    pub fn load(&self, checkpoint: &Path) -> Result<Mllmseg, Box<dyn Error>> {
        let options = LoadOptions {
            dtype: self.dtype,
            quantization: self.quantization,
            ..LoadOptions::default()
        };
        let model = load_model(checkpoint, &mut self.config.clone(), options, &self.device.device)?;
        Ok(model.0)
    }

    /// The training step: conversations of five expressions, as the recipe draws them at most.
    pub fn workload(&self) -> Workload {
        Workload {
            preset: self.preset,
            layers: Vec::new(),
            dtype: self.dtype,
            rank: 64,
            images: self.images,
            expressions: 5,
            text_tokens: 199,
        }
    }
}
