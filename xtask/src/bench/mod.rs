//! Benchmarks of the product at published sizes, with drawn weights.

mod ceiling;
mod clock;
mod cost;
mod generate;
mod load;
mod peak;
mod peer;
mod report;
mod rounds;
mod session;
mod setting;
mod train;
mod work;

use std::error::Error;
use std::time::Instant;

use burn::tensor::DType;
use clap::Args;
use mllmseg::device::{DeviceChoice, DtypeChoice, SelectedDevice};
use mllmseg::model::Preset;
use mllmseg::model::quantize::Quantization;

use clock::Clock;
pub use load::{LoadCost, load};
use peer::Peer;
use report::Measured;
pub use report::{Report, Row};
use setting::Setting;
pub use work::Work;

/// What is measured, and beside what.
#[derive(Args, Clone)]
pub struct Bench {
    /// Sizes
    #[arg(long, default_value = "internvl2_5-1b")]
    pub preset: Preset,
    /// auto, cpu, cuda, cuda:N, wgpu, wgpu:N, vulkan, metal or rocm
    #[arg(long, default_value = "cpu")]
    pub device: DeviceChoice,
    /// dtypes, measured one after the other: auto, f32, bf16, f16
    #[arg(long, value_delimiter = ',', default_value = "f32,auto")]
    pub dtype: Vec<DtypeChoice>,
    /// What is measured
    #[arg(long, value_enum, value_delimiter = ',', default_value = "segment,train,load,generate")]
    pub work: Vec<Work>,
    /// Images of the training step's batch
    #[arg(long, default_value_t = 1)]
    pub images: usize,
    /// What weights are kept in, on the CPU and outside of training: none, bf16 or q8
    #[arg(long, default_value = "none")]
    pub quantize: Quantization,
    /// Runs of each, of which the median counts
    #[arg(long, default_value_t = 3)]
    pub runs: usize,
    /// Run the same work in PyTorch, alternating, by this Python
    #[arg(long, value_name = "PYTHON", num_args = 0..=1, default_missing_value = "python3")]
    pub peer: Option<String>,
    /// Print a line of JSON for each dtype and no table
    #[arg(long)]
    pub json: bool,
    /// Count processor time instead, for busy machines; best with RAYON_NUM_THREADS=1
    #[arg(long)]
    pub processor_time: bool,
    /// Compute with Burn's own operations only, without the kernels of `model/kernels`
    #[arg(long)]
    pub plain: bool,
}

impl Bench {
    /// Measures and prints.
    pub fn run(&self) -> Result<(), Box<dyn Error>> {
        let device = self.device.select()?;
        for dtype in self.dtypes(&device)? {
            let report = match self.plain {
                true => mllmseg::model::cpu::without_kernels(|| self.report(&device, dtype)),
                false => self.report(&device, dtype),
            }?;
            match self.json {
                true => println!("{}", serde_json::to_string(&report)?),
                false => print!("{report}"),
            }
        }
        Ok(())
    }

    /// The dtypes, each once.
    pub fn dtypes(&self, device: &SelectedDevice) -> Result<Vec<DType>, Box<dyn Error>> {
        let mut dtypes = Vec::new();
        for choice in &self.dtype {
            let dtype = choice.resolve(device)?;
            if !dtypes.contains(&dtype) {
                dtypes.push(dtype);
            }
        }
        Ok(dtypes)
    }

    /// Measures in one dtype.
    pub fn report(&self, device: &SelectedDevice, dtype: DType) -> Result<Report, Box<dyn Error>> {
        let setting = Setting {
            name: self.preset.name(),
            preset: self.preset,
            config: self.preset.config(),
            device: device.clone(),
            dtype,
            quantization: self.quantize,
            images: self.images,
            clock: match self.processor_time {
                true => Clock::Processor,
                false => Clock::Wall(Instant::now()),
            },
        };
        let measured = self.measure(Work::Ceiling, &setting)?;
        let rounds = measured.ours.iter().chain(measured.theirs.iter().map(|round| &round.parts));
        let ceiling = ceiling::ceiling(rounds, ceiling::product_size(&setting));
        let mut report = Report::new(&setting, ceiling);
        for &work in self.work.iter().filter(|&&work| work != Work::Ceiling) {
            report.add(work, &setting, &self.measure(work, &setting)?);
        }
        Ok(report)
    }

    /// Rounds of ours and of PyTorch's in turn; the first of both is not counted.
    fn measure(&self, work: Work, setting: &Setting) -> Result<Measured, Box<dyn Error>> {
        let mut ours = work.start(setting)?;
        let peer = self.peer.as_deref();
        let mut peer = peer.map(|python| Peer::start(python, work, setting)).transpose()?;
        let mut measured = Measured::default();
        for round in 0..=self.runs.max(1) {
            let parts = ours.round()?;
            let answer = peer.as_mut().map(Peer::round).transpose()?;
            if round == 0 {
                peak::forget();
                continue;
            }
            measured.ours.push(parts);
            measured.theirs.extend(answer);
        }
        measured.peak = peak::peak(&setting.device);
        Ok(measured)
    }
}
