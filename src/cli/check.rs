//! `mllmseg check`: whether a checkpoint can be trusted.

use std::fmt::Write;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use mllmseg::check::reference::Reference;
use mllmseg::check::report::Report;
use mllmseg::check::{Subject, check};
use mllmseg::device::{DeviceChoice, DtypeChoice};
use serde_json::json;

use super::CliError;
use super::checkpoint::checkpoint_folder;
use super::terminal::print_result;

/// Check a checkpoint: files, names, shapes, numbers, tokenizer, and every stage of its computation
///
/// With --reference, each stage is compared with what the published code or transformers computed
/// (examples/reference/dump.py). Ends with exit code 1 if a step fails.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// A checkpoint: a folder, or OWNER/NAME on the hub
    #[arg(value_name = "DIR|OWNER/NAME", value_hint = ValueHint::DirPath)]
    checkpoint: PathBuf,
    /// Folder of an adapter for it, as PEFT saves it
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    adapter: Option<PathBuf>,
    /// What another implementation computed, as examples/reference/dump.py writes it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    reference: Option<PathBuf>,
    /// auto, cpu, cuda[:N], wgpu[:N], vulkan[:N], metal[:N] or rocm[:N]
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// f32, f16, bf16 or auto: differences from a reference are judged in f32 only
    #[arg(long, default_value = "f32")]
    dtype: DtypeChoice,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Checks, and prints one table.
pub fn run(arguments: CheckArgs) -> Result<(), CliError> {
    let reference = arguments.reference.as_deref().map(Reference::read).transpose()?;
    let device = arguments.device.select()?;
    let dtype = arguments.dtype.resolve(&device)?;
    let dir = checkpoint_folder(&arguments.checkpoint)?;
    let adapter = arguments.adapter.as_deref();
    let report = check(&Subject { dir: &dir, adapter, device: &device, dtype, reference });
    let name = arguments.checkpoint.display().to_string();
    match arguments.json {
        true => print_result(format!(
            "{:#}",
            json!({
                "checkpoint": name,
                "device": device.id,
                "dtype": dtype.name(),
                "passes": report.passes(),
                "steps": report.steps,
            })
        ))?,
        false => {
            print_result(format!("{name} on {} in {}\n", device.id, dtype.name()))?;
            print_result(table(&report)?.trim_end())?;
        }
    }
    match report.passes() {
        true => Ok(()),
        false => Err(format!("{name}: not as it must be; see the steps that failed").into()),
    }
}

fn table(report: &Report) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.1e}"));
    writeln!(
        text,
        "{:<18} {:<8} {:>10} {:>9} {:>9}",
        "step", "verdict", "difference", "tolerance", "largest"
    )?;
    for step in &report.steps {
        let [difference, tolerance, largest] =
            [step.difference, step.tolerance, step.largest].map(number);
        writeln!(
            text,
            "{:<18} {:<8} {difference:>10} {tolerance:>9} {largest:>9}  {}",
            step.name, step.verdict, step.detail
        )?;
    }
    Ok(text)
}
