//! `mllmseg score`: a benchmark's numbers for predictions from anywhere.

use std::fmt::Write;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use mllmseg::data::refer::ReferError;
use mllmseg::evaluate::{
    Benchmark, BenchmarkOptions, EvalError, Evaluation, Selection, published, report, score,
};

use super::CliError;
use super::terminal::{note, print_result, warn};

/// Which benchmark, and what to print.
#[derive(Debug, Args)]
pub struct BenchmarkArgs {
    /// Folder that holds refcoco/, grefcoco/, ..., and images/; or the folder of your own data
    #[arg(long, value_name = "ROOT", value_hint = ValueHint::DirPath)]
    data: PathBuf,
    #[command(flatten)]
    options: BenchmarkOptions,
    /// Write a page with the numbers, charts and pictures: DIR/index.html
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub report: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl BenchmarkArgs {
    /// Opens the data set, and says on standard error what is left out.
    ///
    /// # Errors
    /// See [`Benchmark::open`]; where leaving refs out would help, the error says so.
    pub fn open(&self) -> Result<Benchmark, CliError> {
        let benchmark =
            Benchmark::open(&self.data, self.options.clone()).map_err(|error| match error {
                EvalError::Refer(ReferError::Inconsistent { .. })
                    if !self.options.skip_contradictions =>
                {
                    format!("{error}\nTo leave such refs out, add --skip-contradictions").into()
                }
                error => CliError::from(error),
            })?;
        for example in &benchmark.data.skipped().examples {
            warn(format!("contradiction: {example}"));
        }
        Ok(benchmark)
    }
}

/// Score predictions from anywhere; no image is needed
///
/// FILE has JSON lines, one for each expression, or one JSON list of the same entries:
/// {"ref_id": 1, "sent_id": 2, "segmentation": {"size": [height, width], "counts": "..."}, "rejected": false}
#[derive(Debug, Args)]
pub struct ScoreArgs {
    #[command(flatten)]
    benchmark: BenchmarkArgs,
    /// The predictions: one file, or those of all shards
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, required = true, num_args = 1..)]
    predictions: Vec<PathBuf>,
    /// Score what is there, and count expressions without an entry, instead of stopping
    #[arg(long)]
    allow_missing: bool,
}

/// Scores the predictions and prints the numbers.
pub fn run(arguments: ScoreArgs) -> Result<(), CliError> {
    let benchmark = arguments.benchmark.open()?;
    let selection = benchmark.selection()?;
    let evaluation = score(&selection, &arguments.predictions, arguments.allow_missing)?;
    finish(&arguments.benchmark, &selection, &evaluation, &arguments.predictions)
}

/// Writes the report, and prints the numbers as JSON or as a table beside the paper's.
pub fn finish(
    arguments: &BenchmarkArgs,
    selection: &Selection,
    evaluation: &Evaluation,
    predictions: &[PathBuf],
) -> Result<(), CliError> {
    if let Some(dir) = &arguments.report {
        let page = report::write(dir, selection, evaluation, predictions)?;
        note(format!("The report is {}", page.display()));
    }
    selection.benchmark.data.notes().iter().for_each(warn);
    let summary = &evaluation.summary;
    if arguments.json {
        return print_result(serde_json::to_string_pretty(summary)?);
    }
    let mut text = String::new();
    writeln!(
        text,
        "{} {} (split by {}){}, protocol {}: {} expressions",
        summary.dataset,
        summary.split,
        summary.split_by,
        report::scored_as(summary, ", "),
        arguments.options.protocol,
        summary.numbers.n()
    )?;
    let paper = selection.benchmark.published();
    if !paper.is_empty() {
        writeln!(
            text,
            "{:14}{:>9}  {}",
            "",
            "this run",
            published::MODELS.map(|model| format!("{model:>24}")).join("")
        )?;
    }
    for (key, value) in summary.numbers.all() {
        let ours = value.map_or("–".into(), |value| format!("{value:.2}"));
        let published = paper.iter().find(|(name, _)| *name == key);
        let published = published.map_or(String::new(), |(_, values)| {
            values.map(|value| format!("{value:>24.1}")).join("")
        });
        writeln!(
            text,
            "{}",
            format!("{:14}{ours:>9}  {published}", report::label(key)).trim_end()
        )?;
    }
    for (count, what) in report::remarks(summary) {
        writeln!(text, "{count} {what}")?;
    }
    print_result(text.trim_end())
}
