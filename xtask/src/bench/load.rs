//! Loading a checkpoint.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use burn::tensor::DType;
use mllmseg::device;
use mllmseg::model::MllmsegConfig;
use mllmseg::model::checkpoint::{LoadOptions, load_model};
use mllmseg::model::quantize::Quantization;
use tempfile::TempDir;

use super::clock::Parts;
use super::rounds::Rounds;
use super::session::Session;
use super::setting::Setting;
use crate::allocator::{in_use, peak_in_use, reset_peak};
use crate::drawn;

/// A checkpoint in bf16, as published. The first round brings it into the memory of the system's cache.
pub struct LoadWork {
    folder: TempDir,
    setting: Setting,
}

impl LoadWork {
    pub fn new(setting: &Setting) -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        drawn::checkpoint(&setting.config, folder.path(), DType::BF16)?;
        Ok(Self { folder, setting: setting.clone() })
    }
}

impl Rounds for LoadWork {
    fn round(&mut self) -> Result<Parts, Box<dyn Error>> {
        let (Setting { clock, .. }, mut parts) = (&self.setting, Parts::new());
        let model = clock.time(&mut parts, "load", || self.setting.load(self.folder.path()))?;
        let session = Session::new(model, &self.setting);
        clock.time(&mut parts, "first mask", || {
            let state = session.encode(&mut Parts::new());
            session.expressions(&state, 1, &mut Parts::new());
        });
        Ok(parts)
    }
}

/// Time and memory of loading a checkpoint.
#[derive(Debug, Clone, Copy)]
pub struct LoadCost {
    /// From the first byte read to the model in place.
    pub seconds: f64,
    /// Bytes of the weights on disk.
    pub disk: u64,
    /// Bytes of the weights in memory.
    pub model: u64,
    /// The most bytes in use while it loads.
    pub peak: u64,
}

/// Loads a checkpoint on the CPU in f32.
pub fn load(checkpoint: &Path, quantization: Quantization) -> Result<LoadCost, Box<dyn Error>> {
    let mut config = MllmsegConfig::from_dir(checkpoint)?;
    let cpu = device::cpu().device;
    let options = LoadOptions { quantization, ..Default::default() };
    let before = in_use();
    reset_peak();
    let start = Instant::now();
    let (model, report) = load_model(checkpoint, &mut config, options, &cpu)?;
    let seconds = start.elapsed().as_secs_f64();
    let peak = (peak_in_use() - before) as u64;
    let held = (in_use() - before) as u64;
    drop(model);
    Ok(LoadCost { seconds, disk: report.bytes as u64, model: held, peak })
}
