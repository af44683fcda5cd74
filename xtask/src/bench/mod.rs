//! Benchmarks of the product at published sizes, with drawn weights.

mod clock;
mod peer;
mod report;
mod session;

use std::path::Path;
use std::time::Instant;

use burn::tensor::DType;
use clap::Args;
use mllmseg::device::{self, DeviceChoice, SelectedDevice};
use mllmseg::model::checkpoint::{
    CheckpointError, LoadOptions, SaveOptions, load_model, save_model,
};
use mllmseg::model::quantize::Quantization;
use mllmseg::model::{Mllmseg, MllmsegConfig, Preset};

use crate::allocator::{in_use, peak_in_use, reset_peak};
use clock::Clock;
use peer::Peer;
use report::Report;
use session::Session;
pub use session::TOKENS_BEFORE_IMAGE;

/// What is measured, and beside what.
#[derive(Args)]
pub struct Bench {
    /// Sizes
    #[arg(long, default_value = "internvl2_5-1b")]
    preset: Preset,
    /// auto, cpu, cuda[:N], wgpu[:N], vulkan, metal or rocm
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
    /// What weights are kept in, on the CPU: none, bf16 or q8
    #[arg(long, default_value = "none")]
    quantize: Quantization,
    /// Runs of each, of which the median counts
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Run the same work in PyTorch on the CPU, alternating, by this Python
    #[arg(long, value_name = "PYTHON", num_args = 0..=1, default_missing_value = "python3")]
    peer: Option<String>,
    /// Print one line of JSON and no table
    #[arg(long)]
    json: bool,
    /// Count processor time instead, for busy machines; best with RAYON_NUM_THREADS=1
    #[arg(long)]
    processor_time: bool,
    /// Compute with Burn's own operations only, without the kernels of `model/kernels`
    #[arg(long)]
    plain: bool,
}

impl Bench {
    /// Measures and prints.
    pub fn run(&self) -> Result<(), Box<dyn std::error::Error>> {
        match self.plain {
            true => mllmseg::model::cpu::without_kernels(|| self.measure()),
            false => self.measure(),
        }
    }

    fn measure(&self) -> Result<(), Box<dyn std::error::Error>> {
        let (config, device) = (self.preset.config(), self.device.select()?);
        let session = Session::new(
            self.model(&config, &device)?,
            &config,
            &device,
            match self.processor_time {
                true => Clock::Processor,
                false => Clock::Wall(Instant::now()),
            },
        );
        let mut peer =
            self.peer.as_deref().map(|python| Peer::start(python, &config)).transpose()?;
        let mut report = Report::new(self.preset.name(), &device);
        // The first round of both is not counted.
        for round in 0..=self.runs.max(1) {
            let ours = session.round();
            let theirs = peer.as_mut().map(|peer| peer.pass(self.processor_time)).transpose()?;
            if round > 0 {
                report.add(ours, theirs);
            }
        }
        report.print(self.json)
    }

    /// Drawn weights; those that are kept in fewer bits are written and loaded.
    fn model(
        &self,
        config: &MllmsegConfig,
        device: &SelectedDevice,
    ) -> Result<Mllmseg, Box<dyn std::error::Error>> {
        if self.quantize == Quantization::None {
            return Ok(Mllmseg::new(config, None, &device.device));
        }
        let folder = tempfile::tempdir()?;
        draw(config, folder.path(), DType::BF16)?;
        let options = LoadOptions { quantization: self.quantize, ..Default::default() };
        Ok(load_model(folder.path(), &mut config.clone(), options, &device.device)?.0)
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
pub fn load(
    checkpoint: &Path,
    quantization: Quantization,
) -> Result<LoadCost, Box<dyn std::error::Error>> {
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

/// Writes a checkpoint of drawn weights.
pub fn draw(config: &MllmsegConfig, out: &Path, dtype: DType) -> Result<(), CheckpointError> {
    let model = Mllmseg::new(config, None, &device::cpu().device);
    save_model(&model, config, None, out, SaveOptions { dtype, ..Default::default() })
}
