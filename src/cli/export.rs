//! `mllmseg export`: the model of a run that is not over.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use mllmseg::{device, training};

use super::CliError;
use super::terminal::print_result;

/// Write the model of a training run, as it is so far, as a checkpoint
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Folder of the run
    #[arg(value_hint = ValueHint::DirPath)]
    run: PathBuf,
    /// Folder of the checkpoint
    #[arg(value_hint = ValueHint::DirPath)]
    out: PathBuf,
    /// The snapshot after so many steps, instead of the best by validation (or the last)
    #[arg(long)]
    step: Option<usize>,
}

/// Exports.
pub fn run(arguments: ExportArgs) -> Result<(), CliError> {
    let ExportArgs { run, out, step } = arguments;
    let step = training::export(&run, step, &out, &device::cpu())?;
    print_result(format!("The model after step {step} is {}", out.display()))
}
