//! `mllmseg merge-lora`: a trained checkpoint without separate adapters.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use mllmseg::merge::merge_lora;
use mllmseg::model::config::Layout;

use super::CliError;
use super::checkpoint::checkpoint_folder;
use super::terminal::print_result;

/// Fold the LoRA of a checkpoint into its base
///
/// OUT gets the weights under the names of a model without LoRA, in the dtypes of IN, and the
/// tokenizer's files. It appears whole or not at all.
#[derive(Debug, Args)]
pub struct MergeLoraArgs {
    /// A checkpoint with separate LoRA: a folder, or OWNER/NAME on the hub
    #[arg(value_name = "IN", value_hint = ValueHint::DirPath)]
    input: PathBuf,
    /// A new or empty folder
    #[arg(value_name = "OUT", value_hint = ValueHint::DirPath)]
    output: PathBuf,
    /// internvl or transformers, where it is to be another than IN's
    #[arg(long)]
    layout: Option<Layout>,
}

/// Merges, and prints what was merged.
pub fn run(arguments: MergeLoraArgs) -> Result<(), CliError> {
    let MergeLoraArgs { input, output, layout } = arguments;
    let report = merge_lora(&checkpoint_folder(&input)?, &output, layout)?;
    print_result(format!(
        "{}: {} adapters of rank {} folded in, {} tensors, {:.2} GB",
        output.display(),
        report.adapters,
        report.rank,
        report.written.tensors,
        report.written.bytes as f64 / 1e9
    ))?;
    Ok(())
}
