//! `mllmseg train`: from a base, a trained model or nothing to a checkpoint.

use std::io::IsTerminal;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, ValueEnum, ValueHint};
use mllmseg::data::refer::ReferError;
use mllmseg::device::{DeviceChoice, DeviceList};
use mllmseg::train::Recipe;
use mllmseg::train::display::Display;
use mllmseg::train::mix::MixError;
use mllmseg::train::snapshot::Best;
use mllmseg::training::{Finished, Lines, Start, Training, TrainingError};

use super::CliError;
use super::checkpoint::checkpoint_folder;
use super::recipe_flags::RecipeFlags;
use super::terminal::{is_quiet, note, print_result, progress_bar, warn};

/// Train on RefCOCO, RefCOCO+, RefCOCOg, RefCLEF, gRefCOCO or your own data
///
/// Every number has the published value unless a recipe or a flag changes it. Ctrl-C stops after the
/// step with a snapshot; --resume continues as if the run had never stopped.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Base checkpoint to start from, a folder or OWNER/NAME on the hub; without a mask decoder it
    /// gets a fresh one
    #[arg(long, value_name = "DIR|OWNER/NAME", value_hint = ValueHint::DirPath, conflicts_with_all = ["init", "resume"])]
    base: Option<PathBuf>,
    /// Trained model to continue from, such as the first stage's: a folder or OWNER/NAME on the hub
    #[arg(long, value_name = "DIR|OWNER/NAME", value_hint = ValueHint::DirPath, conflicts_with = "resume")]
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
        let is_plain = self.renderer == Renderer::Plain || self.plain || is_quiet();
        Ok(built_in && !is_plain && std::io::stdout().is_terminal())
    }
}

/// Trains.
pub fn run(arguments: TrainArgs) -> Result<(), CliError> {
    let full_screen = arguments.is_full_screen()?;
    let TrainArgs { base, init, data, out, recipe, flags, device, devices, .. } = arguments;
    let devices = devices.unwrap_or_else(|| device.into()).select()?;
    let training = if arguments.resume {
        Training::resume(&out, &devices)
    } else {
        let start = match (base, init) {
            (Some(base), _) => Start::Base(checkpoint_folder(&base)?),
            (None, Some(init)) => Start::Init(checkpoint_folder(&init)?),
            (None, None) => Start::Nothing,
        };
        let data = data.unwrap_or_default(); // Clap requires it for a new run.
        Training::start(&start, &data, &out, flags.over(Recipe::open(&recipe)?), &devices)
    };
    let training = training.map_err(|error| match error {
        TrainingError::Data(MixError::Refer(error @ ReferError::Inconsistent { .. })) => {
            format!("{error}\nTo leave such refs out, add --skip-contradictions").into()
        }
        error => CliError::from(error),
    })?;
    training.loaded().notes.iter().for_each(|text| note(format!("note: {text}")));
    let steps = training.steps();
    let names: Vec<_> = devices.iter().map(|d| format!("{} ({})", d.id, d.name)).collect();
    note(format!("Training on {}, steps {} to {}", names.join(", "), steps.start, steps.end));
    for (dataset, images, expressions) in training.mix().sizes() {
        note(format!("  {dataset}: {expressions} expressions of {images} images"));
    }
    let notes = training.mix().notes();
    notes.iter().for_each(warn);
    check_images(&training)?;
    let stop = stop_on_ctrl_c()?;
    let mut display = display(full_screen, steps);
    let Finished { steps, model, best, bad_images } = training.go(&stop, display.as_mut())?;
    drop(display);
    if let Some(Best { ciou, step }) = best {
        note(format!("The best of the validations: {ciou:.2} % cIoU after step {step}"));
    }
    notes.iter().for_each(warn);
    if !bad_images.is_empty() {
        let (count, first) = (bad_images.len(), bad_images.join("\n  "));
        warn(format!(
            "{count} images could not be used, and others were drawn in their place:\n  {first}"
        ));
    }
    let resume = format!("mllmseg train --resume --out {}", out.display());
    match model {
        Some(model) => print_result(format!("The trained model is {}", model.display())),
        None => {
            note(format!("Stopped after step {steps}; resume with: {resume}"));
            Ok(())
        }
    }
}

/// Opens all images, behind a bar.
fn check_images(training: &Training) -> Result<(), CliError> {
    let images = training.mix().image_count() as u64;
    let bar = progress_bar("[{wide_bar}] {pos}/{len} images opened, {eta} left", images);
    let checked = training.check_images(&|done| bar.set_position(done as u64));
    bar.finish_and_clear();
    checked?;
    let bad = training.mix().bad_images();
    bad.iter().for_each(|why| warn(format!("not used: {why}")));
    Ok(())
}

#[cfg(feature = "tui")]
fn display(full_screen: bool, steps: Range<usize>) -> Box<dyn Display> {
    match full_screen {
        true => Box::new(mllmseg::training::FullScreen::new()),
        false => Box::new(Lines::new(steps, is_quiet())),
    }
}

#[cfg(not(feature = "tui"))]
fn display(_: bool, steps: Range<usize>) -> Box<dyn Display> {
    Box::new(Lines::new(steps, is_quiet()))
}

/// What the first Ctrl-C sets, to ask for a snapshot; the second ends the program at once.
fn stop_on_ctrl_c() -> Result<Arc<AtomicBool>, CliError> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        warn("Stopping after this step, with a snapshot; Ctrl-C again to stop at once");
    })?;
    Ok(stop)
}
