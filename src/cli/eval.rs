//! `mllmseg eval`: a checkpoint's numbers on a benchmark.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use indicatif::{ProgressBar, ProgressStyle};
use mllmseg::Segmenter;
use mllmseg::device::{DeviceChoice, DtypeChoice};
use mllmseg::evaluate::{Benchmark, RunOptions, Watch, evaluate, report};

use super::CliError;
use super::score::{BenchmarkArgs, print_evaluation};

/// Evaluate a checkpoint on RefCOCO, RefCOCO+, RefCOCOg, RefCLEF or gRefCOCO
#[derive(Debug, Args)]
pub struct EvalArgs {
    #[command(flatten)]
    benchmark: BenchmarkArgs,
    /// Folder of the checkpoint: config.json, tokenizer files and weights
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    checkpoint: PathBuf,
    /// auto, cpu, cuda[:N], wgpu[:N], vulkan[:N], metal[:N] or rocm[:N]
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Number type of vision encoder and language model: auto, f32, f16 or bf16
    #[arg(long, default_value = "auto")]
    dtype: DtypeChoice,
    /// Write every mask to this JSON file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    predictions: Option<PathBuf>,
    /// Go on with what an interrupted run left beside the predictions file (FILE.part)
    #[arg(long, requires = "predictions")]
    resume: bool,
    /// Leave out images that are not there, and count them, instead of stopping
    #[arg(long)]
    skip_missing: bool,
}

/// Runs the model over the benchmark and prints the numbers.
///
/// # Errors
/// See [`evaluate`].
pub fn run(arguments: EvalArgs) -> Result<(), CliError> {
    let benchmark = Benchmark::open(&arguments.benchmark.data, arguments.benchmark.options())?;
    let mut selection = benchmark.selection()?;
    if arguments.skip_missing {
        selection.skip_missing_images();
        for path in selection.missing_images() {
            eprintln!("missing: {}", path.display());
        }
    }
    let report_dir = arguments.benchmark.report.as_deref();
    // The report's galleries are made from the predictions file; without one it keeps its own.
    let predictions = arguments
        .predictions
        .or_else(|| Some(report_dir?.join("predictions.json")));
    let device = arguments.device.select()?;
    let segmenter = Segmenter::load_as(&arguments.checkpoint, &device, arguments.dtype)?;
    let options = RunOptions {
        checkpoint: &arguments.checkpoint,
        predictions: predictions.as_deref(),
        resume: arguments.resume,
    };
    let mut bar = Bar::default();
    let evaluation = evaluate(&segmenter, &selection, options, &mut bar)?;
    drop(bar);
    if let (Some(dir), Some(predictions)) = (report_dir, &predictions) {
        let page = report::write(dir, &selection, &evaluation, predictions)?;
        eprintln!("The report is {}", page.display());
    }
    print_evaluation(&selection, &evaluation, arguments.benchmark.json)
}

/// Expressions done, the time that is left, and cIoU so far, on standard error.
#[derive(Default)]
struct Bar(Option<ProgressBar>);

impl Watch for Bar {
    fn begin(&mut self, done: usize, total: usize) {
        let template = "[{wide_bar}] {pos}/{len} expressions, {msg}, {per_sec}, {eta} left";
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(total as u64).with_style(style);
        bar.set_message("cIoU –");
        bar.set_position(done as u64);
        bar.reset_eta(); // what an earlier run did says nothing about speed
        self.0 = Some(bar);
    }

    fn advance(&mut self, done: usize, ciou: Option<f64>) {
        if let Some(bar) = &self.0 {
            bar.set_message(ciou.map_or("cIoU –".into(), |ciou| format!("cIoU {ciou:.2}")));
            bar.set_position(done as u64);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.abandon();
        }
    }
}
