//! `mllmseg eval`: a checkpoint's numbers on a benchmark.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueHint};
use indicatif::ProgressFinish;
use mllmseg::evaluate::{Progress, RunOptions, Shard, evaluate, write_list};

use super::CliError;
use super::model::ModelArgs;
use super::score::{BenchmarkArgs, finish};
use super::terminal::{note, progress_bar, warn};

/// Evaluate a checkpoint on RefCOCO, RefCOCO+, RefCOCOg, RefCLEF, gRefCOCO or your own data
#[derive(Debug, Args)]
pub struct EvalArgs {
    #[command(flatten)]
    benchmark: BenchmarkArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// Write every mask to this file as JSON lines
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    predictions: Option<PathBuf>,
    /// In the end, write the predictions as one JSON list too
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "predictions")]
    predictions_list: Option<PathBuf>,
    /// Continue from what an interrupted run left beside the predictions file (FILE.part)
    #[arg(long)]
    resume: bool,
    /// Only the K-th of N parts, for machines that share a benchmark; `score` takes the files of all
    #[arg(long, value_name = "K/N", requires = "predictions")]
    shard: Option<Shard>,
    /// Leave out images that are not there, and count them, instead of stopping
    #[arg(long)]
    skip_missing: bool,
}

/// How often a line is printed where there is no terminal for the bar.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Runs the model over the benchmark and prints the numbers.
pub fn run(arguments: EvalArgs) -> Result<(), CliError> {
    let benchmark = arguments.benchmark.open()?;
    let mut selection = benchmark.selection()?;
    if let Some(shard) = arguments.shard {
        selection.keep_shard(shard)?;
    }
    if arguments.skip_missing {
        selection.skip_missing_images();
        for path in &selection.missing_images {
            warn(format!("missing: {}", path.display()));
        }
    }
    let report_dir = arguments.benchmark.report.as_deref();
    // The report's galleries are made from the predictions file; without one it keeps its own, which
    // a run of version 0.1.0 called `predictions.json`.
    let of_report = |dir: &Path| {
        let there = |name: &str| arguments.resume && dir.join(name).exists();
        let is_old = there("predictions.json") || there("predictions.json.part");
        dir.join(if is_old { "predictions.json" } else { "predictions.jsonl" })
    };
    let predictions = arguments.predictions.or_else(|| report_dir.map(of_report));
    if arguments.resume && predictions.is_none() {
        return Err("--resume continues a predictions file; name it by --predictions".into());
    }
    let segmenter = arguments.model.load()?;
    let options = RunOptions { predictions: predictions.as_deref(), resume: arguments.resume };
    let evaluation = evaluate(&segmenter, &selection, options, &mut watch())?;
    if let (Some(list), Some(predictions)) = (arguments.predictions_list, &predictions) {
        write_list(predictions, &list)?;
    }
    finish(&arguments.benchmark, &selection, &evaluation, predictions.as_slice())
}

/// Shows on standard error how many expressions are done, the time that is left, and cIoU so far.
fn watch() -> impl FnMut(Progress) + Send {
    let template = "[{wide_bar}] {pos}/{len} expressions, {msg}, {per_sec}, {eta} left";
    let bar = progress_bar(template, 0).with_finish(ProgressFinish::Abandon);
    let mut begun = false;
    let mut last_line = Instant::now();
    move |Progress { done, total, ciou }| {
        let ciou = ciou.map_or("cIoU –".into(), |ciou| format!("cIoU {ciou:.2}"));
        bar.set_length(total as u64);
        bar.set_message(ciou.clone());
        bar.set_position(done as u64);
        if !begun {
            bar.reset_eta(); // an earlier run says nothing about the speed of this one
            begun = true;
        }
        if bar.is_hidden() && last_line.elapsed() >= LINE_EVERY {
            note(format!("{done}/{total} expressions, {ciou}, {} s left", bar.eta().as_secs()));
            last_line = Instant::now();
        }
    }
}
