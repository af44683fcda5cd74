//! `mllmseg train`: from a base, a trained model or nothing to a checkpoint.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::train::Interrupter;
use burn::train::renderer::{MetricsRenderer, default_renderer};
use clap::{Args, ValueEnum, ValueHint};
use mllmseg::device::{DeviceChoice, DeviceList};
use mllmseg::train::Recipe;
use mllmseg::train::snapshot::Best;
use mllmseg::training::{Finished, Lines, Start, Training};

use super::CliError;
use super::recipe_flags::RecipeFlags;

/// Train on RefCOCO, RefCOCO+, RefCOCOg, RefCLEF, gRefCOCO or your own data
///
/// Every number has the published value unless a recipe or a flag changes it. Ctrl-C stops after the
/// step with a snapshot; --resume continues as if the run had never stopped.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Base checkpoint to start from; without a mask decoder it gets a fresh one
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with_all = ["init", "resume"])]
    base: Option<PathBuf>,
    /// Trained model to continue from, such as the first stage's
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "resume")]
    init: Option<PathBuf>,
    /// Root folder of the data sets; for `own`, the folder of train.jsonl
    #[arg(long, value_name = "ROOT", value_hint = ValueHint::DirPath, required_unless_present = "resume")]
    data: Option<PathBuf>,
    /// Folder of the run: snapshots, curves, and in the end model/
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: PathBuf,
    /// Continue from the run's last snapshot; base, data and recipe are the run's own
    #[arg(long)]
    resume: bool,
    /// res-paper, gres-paper, tiny, tiny-begin, tiny-shapes, tiny-places, or a TOML file
    #[arg(long, default_value = "res-paper", conflicts_with = "resume")]
    recipe: String,
    #[command(flatten)]
    flags: RecipeFlags,
    /// auto, cpu, cuda[:N], wgpu[:N], vulkan[:N], metal[:N] or rocm[:N]
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Several devices that share each step's batches, such as cuda:0,cuda:1 or
    /// remote:ws://HOST:PORT,remote:ws://OTHER:PORT (`mllmseg serve-device` there)
    #[arg(long, value_name = "LIST", conflicts_with = "device")]
    devices: Option<DeviceList>,
    /// How the numbers are shown; auto is full screen on a terminal where the program has it
    #[arg(long, value_enum, default_value = "auto")]
    renderer: Renderer,
    /// Plain lines even on a terminal, as --renderer plain
    #[arg(long)]
    plain: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Renderer {
    Auto,
    Plain,
    Tui,
}

impl TrainArgs {
    fn is_full_screen(&self) -> Result<bool, CliError> {
        let built_in = cfg!(feature = "tui");
        if self.renderer == Renderer::Tui && !built_in {
            return Err("the full-screen display is not built into this program; \
                        build it with `cargo build --release --features tui`"
                .into());
        }
        let is_plain = self.renderer == Renderer::Plain || self.plain;
        Ok(built_in && !is_plain && std::io::stdout().is_terminal())
    }
}

/// Trains.
pub fn run(arguments: TrainArgs) -> Result<(), CliError> {
    let full_screen = arguments.is_full_screen()?;
    let TrainArgs { base, init, data, out, recipe, flags, device, devices, .. } = arguments;
    let devices = devices.unwrap_or_else(|| device.into()).select()?;
    let training = if arguments.resume {
        Training::resume(&out, &devices)?
    } else {
        let start = base.map(Start::Base).or(init.map(Start::Init)).unwrap_or(Start::Nothing);
        let data = data.unwrap_or_default(); // Clap requires it for a new run.
        Training::start(&start, &data, &out, flags.over(Recipe::open(&recipe)?), &devices)?
    };
    let steps = training.steps();
    let names: Vec<_> = devices.iter().map(|d| format!("{} ({})", d.id, d.name)).collect();
    eprintln!("Training on {}, steps {} to {}", names.join(", "), steps.start, steps.end);
    for (dataset, images, expressions) in training.mix().sizes() {
        eprintln!("  {dataset}: {expressions} expressions of {images} images");
    }
    let interrupter = Interrupter::new();
    stop_on_ctrl_c(interrupter.clone())?;
    let renderer: Box<dyn MetricsRenderer> = match full_screen {
        true => default_renderer(interrupter.clone(), None),
        false => Box::new(Lines::new(steps)),
    };
    let Finished { steps, model, best } = training.go(interrupter, renderer)?;
    if let Some(Best { ciou, step }) = best {
        eprintln!("The best of the validations: {ciou:.2} % cIoU after step {step}");
    }
    let resume = format!("mllmseg train --resume --out {}", out.display());
    match model {
        Some(model) => eprintln!("The trained model is {}", model.display()),
        None => eprintln!("Stopped after step {steps}; resume with: {resume}"),
    }
    Ok(())
}

/// The first Ctrl-C asks for a snapshot, the second ends the program at once.
fn stop_on_ctrl_c(interrupter: Interrupter) -> Result<(), CliError> {
    let asked = AtomicBool::new(false);
    ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        eprintln!("Stopping after this step, with a snapshot; Ctrl-C again to stop at once");
        interrupter.stop(Some("Ctrl-C"));
    })?;
    Ok(())
}
