//! `mllmseg convert`: a checkpoint in the other layout.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use mllmseg::convert::convert;
use mllmseg::model::config::Layout;

use super::CliError;
use super::checkpoint::checkpoint_folder;
use super::terminal::print_result;

/// Write a checkpoint in the layout of OpenGVLab's InternVL or of transformers
///
/// OUT gets every tensor with its bytes, config.json, and the files of tokenizer and processor. It appears
/// whole or not at all. Separate adapters stay separate; merge-lora --layout folds them in.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// A checkpoint: a folder, or OWNER/NAME on the hub
    #[arg(value_name = "IN", value_hint = ValueHint::DirPath)]
    input: PathBuf,
    /// A new or empty folder
    #[arg(value_name = "OUT", value_hint = ValueHint::DirPath)]
    output: PathBuf,
    /// internvl (OpenGVLab's, and that of the published MLLMSeg models) or transformers (its own, -hf)
    #[arg(long)]
    layout: Layout,
}

/// Converts, and prints what was written.
pub fn run(arguments: ConvertArgs) -> Result<(), CliError> {
    let ConvertArgs { input, output, layout } = arguments;
    let written = convert(&checkpoint_folder(&input)?, &output, layout)?;
    print_result(format!(
        "{}: {} tensors in the layout of {layout}, {:.2} GB",
        output.display(),
        written.tensors,
        written.bytes as f64 / 1e9
    ))
}
