//! Benchmarks from end to end, with drawn weights and small data sets that have every oddity.

mod check;
mod own;
mod rule;
mod run;
mod score;
mod shards;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mllmseg::data::metrics::Protocol;
use mllmseg::data::refer::{Dataset, Split};
use mllmseg::evaluate::{
    Benchmark, BenchmarkOptions, EvalError, Evaluation, Progress, RunOptions, evaluate,
};
use serde_json::Value;

use super::support::*;

fn fixtures() -> PathBuf {
    tests("fixtures/eval")
}

/// Published predictions, one JSON list.
fn predictions(name: &str) -> PathBuf {
    fixtures().join(format!("predictions/{name}.json"))
}

fn refcoco_val() -> BenchmarkOptions {
    BenchmarkOptions::new(Dataset::RefCoco, Split::Val)
}

fn parsed(dataset: &str, split: &str, protocol: Protocol) -> BenchmarkOptions {
    let options = BenchmarkOptions::new(dataset.parse().unwrap(), split.parse().unwrap());
    BenchmarkOptions { protocol, ..options }
}

/// A whole evaluation by [`QWEN2`], with its progress.
fn evaluated(
    root: &Path,
    options: BenchmarkOptions,
    run: RunOptions,
) -> Result<(Evaluation, Vec<Progress>), EvalError> {
    let benchmark = Benchmark::open(root, options)?;
    let mut progress = Vec::new();
    let mut watch = |now| progress.push(now);
    let evaluation = evaluate(&QWEN2, &benchmark.selection()?, run, &mut watch)?;
    Ok((evaluation, progress))
}

/// The library's `score`, with its error as text.
fn scored(root: &Path, options: BenchmarkOptions, file: &Path) -> Result<Evaluation, String> {
    let benchmark = Benchmark::open(root, options).map_err(|error| error.to_string())?;
    let selection = benchmark.selection().map_err(|error| error.to_string())?;
    mllmseg::evaluate::score(&selection, &[file], false).map_err(|error| error.to_string())
}

/// `mllmseg eval` or `score`.
fn command(name: &str, root: &Path, dataset: &str, split: &str) -> Command {
    let mut command = mllmseg([name, "--dataset", dataset, "--split", split, "--data"]);
    command.arg(root);
    if name == "eval" {
        command.args(["--device", "cpu", "--checkpoint"]).arg(checkpoint("qwen2"));
    }
    command
}

/// The entries of a predictions file.
fn read_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
