//! Benchmarks from end to end, with drawn weights and small data sets that have every oddity.

mod own;
mod run;
mod score;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use mllmseg::data::metrics::Protocol;
use mllmseg::data::refer::{Dataset, Split};
use mllmseg::evaluate::{
    Benchmark, BenchmarkOptions, EvalError, Evaluation, Progress, RunOptions, evaluate,
};
use mllmseg::{Segmenter, device};
use serde_json::Value;
use tempfile::TempDir;
use xtask::weights::{CheckpointOptions, write_checkpoint};

static MODEL: LazyLock<(TempDir, Segmenter)> = LazyLock::new(|| {
    let folder = TempDir::new().unwrap();
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/qwen2");
    write_checkpoint(&case, folder.path(), &CheckpointOptions::default()).unwrap();
    let segmenter = Segmenter::load(folder.path(), &device::cpu()).unwrap();
    (folder, segmenter)
});

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/eval")
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

/// A whole evaluation by [`MODEL`], with its progress.
fn evaluated(
    root: &Path,
    options: BenchmarkOptions,
    run: RunOptions,
) -> Result<(Evaluation, Vec<Progress>), EvalError> {
    let benchmark = Benchmark::open(root, options)?;
    let mut progress = Vec::new();
    let mut watch = |now| progress.push(now);
    let evaluation = evaluate(&MODEL.1, &benchmark.selection()?, run, &mut watch)?;
    Ok((evaluation, progress))
}

/// The library's `score`, with its error as text.
fn scored(root: &Path, options: BenchmarkOptions, file: &Path) -> Result<Evaluation, String> {
    let benchmark = Benchmark::open(root, options).map_err(|error| error.to_string())?;
    let selection = benchmark.selection().map_err(|error| error.to_string())?;
    mllmseg::evaluate::score(&selection, file, false).map_err(|error| error.to_string())
}

/// `mllmseg eval` or `score`.
fn command(name: &str, root: &Path, dataset: &str, split: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mllmseg"));
    command.args([name, "--dataset", dataset, "--split", split, "--data"]).arg(root);
    if name == "eval" {
        command.args(["--device", "cpu", "--checkpoint"]).arg(MODEL.0.path());
    }
    command
}

/// What a command prints when it succeeds.
fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The entries of a predictions file.
fn read_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The fixtures, to be damaged.
fn copy_of_fixtures() -> TempDir {
    let root = TempDir::new().unwrap();
    copy_folder(&fixtures(), root.path());
    root
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy_folder(&path, &target),
            false => fs::copy(&path, &target).map(|_| ()).unwrap(),
        }
    }
}
