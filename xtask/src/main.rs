//! `cargo xtask`: chores of the project.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use burn::tensor::DType;
use clap::{Args, Parser, Subcommand};
use mllmseg::device::{DeviceChoice, SelectedDevice};
use mllmseg::model::quantize::Quantization;
use mllmseg::model::{MllmsegConfig, Preset};
use xtask::ablation::Ablation;
use xtask::allocator::CountingAllocator;
use xtask::bench::Bench;
use xtask::fuzz::Fuzz;
use xtask::gpu_report::GpuReport;
use xtask::memory;
use xtask::parity::{Dump, Row, Tolerances, compare, train, transformers};
use xtask::tiny_model::TinyModel;
use xtask::torture::Torture;
use xtask::weights::{CheckpointOptions, parse_dtype, write_checkpoint};

/// `memory` and `bench-load` measure by it.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[derive(Parser)]
#[command(about = "Chores of the mllmseg project", version)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Write the checkpoint of a reference case, its weights drawn by rule
    Weights {
        /// Folder of the case, such as tests/reference/qwen2
        case: PathBuf,
        /// Folder to write
        out: PathBuf,
        #[command(flatten)]
        options: CheckpointOptions,
    },
    /// Compare with the outputs of the published implementation or of transformers; exits with 1 past tolerance
    Parity(Parity),
    /// Write drawn weights of a published size, or of the config.json in a folder, without tokenizer
    Draw {
        /// internvl2_5-1b and so on, or a folder with a config.json
        sizes: String,
        /// Folder to write
        out: PathBuf,
        /// Dtype on disk: f32, bf16 or f16
        #[arg(long, default_value = "bf16", value_parser = parse_dtype)]
        dtype: DType,
    },
    /// Load a checkpoint folder and print its size beside the peak of memory
    BenchLoad {
        /// Folder with config.json and weights
        checkpoint: PathBuf,
        /// What weights are kept in: none, bf16 or q8
        #[arg(long, default_value = "none")]
        quantize: Quantization,
    },
    /// Time segmentation, a training step, a load and generation with drawn weights; PyTorch beside it
    Bench(Bench),
    /// Parity, benchmark and training steps of a device, as a table and as JSON; exits with 1 where one fails
    GpuReport(GpuReport),
    /// Train the four decoders of Table 4 at small scale, and write the book's table; called again, resume
    Ablation(Ablation),
    /// Train the model of assets/tiny on drawn scenes; called again, resume
    TinyModel(TinyModel),
    /// Fuzz everything that comes from outside (nightly, cargo-fuzz), and print what was run and found
    Fuzz(Fuzz),
    /// Kill commands at random moments, fill their disks, start two in one folder; nothing may be lost
    Torture(Torture),
    /// Measure the memory of one training step, with and without gradient checkpointing
    Memory(memory::Workload),
    /// Build the pages of docs/book by mdBook, into target/book
    Book,
    /// Make the page with the model inside, examples/web/dist: WebAssembly, scripts, weights
    Web,
    /// Run every check that must hold before a change lands
    Ci,
}

#[derive(Args)]
struct Parity {
    /// Folder of the case, such as tests/reference/qwen2, or tests/fixtures/native/qwen2 of transformers
    case: PathBuf,
    /// Checkpoint of a reference case; without it the weights are drawn into a temporary folder
    #[arg(long, value_name = "DIR")]
    checkpoint: Option<PathBuf>,
    /// Adapter for a case of transformers, such as tests/fixtures/peft/alpha_1
    #[arg(long, value_name = "DIR", conflicts_with_all = ["checkpoint", "no_train"])]
    adapter: Option<PathBuf>,
    /// Write everything that was computed, in full, and OUT.grad_norms.json
    #[arg(long, value_name = "OUT.safetensors")]
    dump: Option<PathBuf>,
    /// Leave out losses, gradients and the six steps of AdamW of a reference case
    #[arg(long)]
    no_train: bool,
    /// auto, cpu, cuda[:N], wgpu[:N], vulkan, metal or rocm
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
}

fn main() -> ExitCode {
    match run(Arguments::parse().chore) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(chore: Chore) -> Result<ExitCode, Box<dyn Error>> {
    match chore {
        Chore::Weights { case, out, options } => write_checkpoint(&case, &out, &options)?,
        Chore::Parity(parity) => return parity.run(),
        Chore::Draw { sizes, out, dtype } => {
            let preset = sizes.parse::<Preset>().map(|preset| preset.config());
            let config = preset.or_else(|_| MllmsegConfig::from_dir(Path::new(&sizes)))?;
            xtask::drawn::checkpoint(&config, &out, dtype)?;
        }
        Chore::BenchLoad { checkpoint, quantize } => bench_load(&checkpoint, quantize)?,
        Chore::Bench(bench) => bench.run()?,
        Chore::GpuReport(report) => {
            return Ok(if report.make()? { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Chore::Ablation(ablation) => ablation.make()?,
        Chore::TinyModel(tiny) => tiny.make()?,
        Chore::Fuzz(fuzz) => {
            return Ok(if fuzz.run()? { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Chore::Torture(torture) => torture.run()?,
        Chore::Memory(workload) => memory::run(&workload)?,
        Chore::Book => xtask::book::build(None)?,
        Chore::Web => xtask::web::make()?,
        Chore::Ci => xtask::ci::run()?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Parity {
    fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        let device = self.device.select()?;
        let is_reference = self.case.join("case.json").exists();
        let (computed, rows) = match is_reference {
            true => self.reference(&device)?,
            false => self.transformers(&device)?,
        };
        if let Some(path) = &self.dump {
            computed.write(path)?;
        }
        let adapter = self.adapter.iter().map(|adapter| format!(" with {}", adapter.display()));
        let adapter: String = adapter.collect();
        println!("{}{adapter} on {} ({})", self.case.display(), device.id, device.name);
        println!("{:<32} {:>12} {:>10} {:>12}", "tensor", "difference", "tolerance", "largest");
        rows.iter().for_each(|row| println!("{row}"));
        if rows.is_empty() {
            println!("expected.safetensors holds nothing to compare with");
        }
        let passed = rows.iter().all(|row| row.passes());
        Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn reference(&self, device: &SelectedDevice) -> Result<(Dump, Vec<Row>), Box<dyn Error>> {
        if self.adapter.is_some() {
            let name = self.case.display();
            return Err(format!(
                "{name}: --adapter is for a case of transformers, and this has a case.json"
            )
            .into());
        }
        let drawn = tempfile::tempdir()?;
        let checkpoint = self.checkpoint.as_deref().unwrap_or(drawn.path());
        if self.checkpoint.is_none() {
            write_checkpoint(&self.case, checkpoint, &CheckpointOptions::default())?;
        }
        let mut computed = xtask::parity::run(&self.case, checkpoint, device)?;
        if !self.no_train && !train::run(&self.case, checkpoint, device, &mut computed)? {
            println!("expected.safetensors has no gt_masks: training is left out");
        }
        let rows = compare(&computed, &self.case, Tolerances::of(device))?;
        Ok((computed, rows))
    }

    fn transformers(&self, device: &SelectedDevice) -> Result<(Dump, Vec<Row>), Box<dyn Error>> {
        if self.checkpoint.is_some() || self.no_train {
            let name = self.case.display();
            return Err(format!("{name}: --checkpoint and --no-train are for a reference case, and this has no case.json").into());
        }
        let case = transformers::Case { base: self.case.clone(), adapter: self.adapter.clone() };
        let computed = case.run(device)?;
        let rows = case.compare(&computed, Tolerances::of(device))?;
        Ok((computed, rows))
    }
}

fn bench_load(checkpoint: &Path, quantize: Quantization) -> Result<(), Box<dyn Error>> {
    let cost = xtask::bench::load(checkpoint, quantize)?;
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    println!("{} on the CPU in f32, weights kept in {quantize:?}", checkpoint.display());
    println!("loaded in               {:>10.3} s", cost.seconds);
    println!("weights on disk         {:>10.1} MB", megabytes(cost.disk));
    println!("weights in memory       {:>10.1} MB", megabytes(cost.model));
    println!("most in use             {:>10.1} MB", megabytes(cost.peak));
    println!("most in use / weights   {:>10.3}", cost.peak as f64 / cost.model as f64);
    Ok(())
}
