//! `mllmseg eval`: a checkpoint's numbers on a benchmark.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueHint};
use indicatif::{ProgressBar, ProgressStyle};
use mllmseg::evaluate::{RunOptions, Watch, evaluate, report};

use super::score::{BenchmarkArgs, print_evaluation};
use super::{CliError, ModelArgs};

/// Evaluate a checkpoint on RefCOCO, RefCOCO+, RefCOCOg, RefCLEF, gRefCOCO or your own data
#[derive(Debug, Args)]
pub struct EvalArgs {
    #[command(flatten)]
    benchmark: BenchmarkArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// Write every mask to this JSON file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    predictions: Option<PathBuf>,
    /// Go on with what an interrupted run left beside the predictions file (FILE.part)
    #[arg(long)]
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
    let benchmark = arguments.benchmark.open()?;
    let mut selection = benchmark.selection()?;
    if arguments.skip_missing {
        selection.skip_missing_images();
        for path in selection.missing_images() {
            eprintln!("missing: {}", path.display());
        }
    }
    let report_dir = arguments.benchmark.report.as_deref();
    // The report's galleries are made from the predictions file; without one it keeps its own.
    let predictions = arguments.predictions.or_else(|| Some(report_dir?.join("predictions.json")));
    if arguments.resume && predictions.is_none() {
        return Err("--resume goes on with a predictions file; name it by --predictions".into());
    }
    let segmenter = arguments.model.load()?;
    let options = RunOptions {
        checkpoint: segmenter.folder(),
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

/// How often a line says how far it is where there is no terminal to draw a bar on.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Expressions done, the time that is left, and cIoU so far, on standard error.
#[derive(Default)]
struct Bar {
    bar: Option<ProgressBar>,
    /// When the last line was written, where nobody sees the bar.
    line: Option<Instant>,
}

impl Watch for Bar {
    fn begin(&mut self, done: usize, total: usize) {
        let template = "[{wide_bar}] {pos}/{len} expressions, {msg}, {per_sec}, {eta} left";
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(total as u64).with_style(style);
        bar.set_message("cIoU –");
        bar.set_position(done as u64);
        bar.reset_eta(); // what an earlier run did says nothing about speed
        self.line = bar.is_hidden().then(Instant::now);
        self.bar = Some(bar);
    }

    fn advance(&mut self, done: usize, ciou: Option<f64>) {
        let Some(bar) = &self.bar else {
            return;
        };
        let ciou = ciou.map_or("cIoU –".into(), |ciou| format!("cIoU {ciou:.2}"));
        bar.set_message(ciou.clone());
        bar.set_position(done as u64);
        if self.line.is_some_and(|last| last.elapsed() >= LINE_EVERY) {
            let (total, left) = (bar.length().unwrap_or(0), bar.eta().as_secs());
            eprintln!("{done}/{total} expressions, {ciou}, {left} s left");
            self.line = Some(Instant::now());
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.abandon();
        }
    }
}
