//! `mllmseg train`: from a base, a trained model or nothing to a checkpoint.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::train::Interrupter;
use burn::train::renderer::{MetricsRenderer, default_renderer};
use clap::{Args, ValueEnum, ValueHint};
use mllmseg::device::{DeviceChoice, DeviceList};
use mllmseg::train::Recipe;
use mllmseg::train::loss::MaskLoss;
use mllmseg::train::snapshot::Best;
use mllmseg::training::{Lines, Start, Training};

use super::CliError;

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
    numbers: Numbers,
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

impl Renderer {
    fn is_full_screen(self, plain: bool) -> Result<bool, CliError> {
        let (built_in, on_terminal) = (cfg!(feature = "tui"), std::io::stdout().is_terminal());
        match self {
            Self::Tui if !built_in => {
                Err("the full-screen display is not built into this program; \
                                           build it with `cargo build --release --features tui`"
                    .into())
            }
            Self::Plain => Ok(false),
            Self::Auto | Self::Tui => Ok(built_in && on_terminal && !plain),
        }
    }
}

/// Flags that change the recipe's numbers.
#[derive(Debug, Args)]
struct Numbers {
    /// Data sets to draw from, such as refclef,refcoco,refcoco+,refcocog or own; one may come twice
    #[arg(long, value_delimiter = ',', conflicts_with = "resume")]
    mix: Option<Vec<String>>,
    /// Updates of the weights
    #[arg(long, conflicts_with = "resume")]
    steps: Option<usize>,
    /// Seed of all random choices
    #[arg(long, conflicts_with = "resume")]
    seed: Option<u64>,
    /// Images in one pass through the model
    #[arg(long, conflicts_with = "resume")]
    images: Option<usize>,
    /// Passes in one step, on all devices together
    #[arg(long, conflicts_with = "resume")]
    batches_per_step: Option<usize>,
    /// The highest learning rate
    #[arg(long, conflicts_with = "resume")]
    learning_rate: Option<f64>,
    /// focal_dice (the published code's) or bce_dice (the paper's)
    #[arg(long, conflicts_with = "resume")]
    mask_loss: Option<MaskLoss>,
    /// The dtype of the frozen weights: auto, f32, f16 or bf16
    #[arg(long, conflicts_with = "resume")]
    dtype: Option<String>,
    /// Keep only the inputs of the layers, and compute the rest again in the backward pass
    #[arg(long, alias = "recompute", conflicts_with = "resume")]
    gradient_checkpointing: bool,
    /// Steps from one snapshot to the next
    #[arg(long, conflicts_with = "resume")]
    snapshot_every: Option<usize>,
    /// Data set to validate on, such as own; "none" for no validation
    #[arg(long, conflicts_with = "resume")]
    validate_on: Option<String>,
    /// Steps from one validation to the next
    #[arg(long, conflicts_with = "resume")]
    validate_every: Option<usize>,
}

impl Numbers {
    fn over(self, mut recipe: Recipe) -> Recipe {
        fn set<T>(place: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *place = value;
            }
        }
        if let Some(mix) = self.mix {
            // The recipe validates on data that it trains on, which may not be there now.
            if !mix.contains(&recipe.validation.dataset) && !recipe.validation.dataset.is_empty() {
                recipe.validation.dataset = mix.first().cloned().unwrap_or_default();
            }
            recipe.data.mix = mix;
        }
        set(&mut recipe.steps, self.steps);
        set(&mut recipe.seed, self.seed);
        set(&mut recipe.batch.images, self.images);
        set(&mut recipe.batch.batches_per_step, self.batches_per_step);
        set(&mut recipe.optimizer.learning_rate, self.learning_rate);
        set(&mut recipe.loss.mask, self.mask_loss);
        set(&mut recipe.dtype, self.dtype);
        recipe.gradient_checkpointing |= self.gradient_checkpointing;
        set(&mut recipe.snapshots.every, self.snapshot_every);
        let none = |name: String| if name == "none" { String::new() } else { name };
        set(&mut recipe.validation.dataset, self.validate_on.map(none));
        set(&mut recipe.validation.every, self.validate_every);
        recipe
    }
}

/// Trains.
pub fn run(arguments: TrainArgs) -> Result<(), CliError> {
    let devices = arguments.devices.unwrap_or_else(|| arguments.device.into()).select()?;
    let (out, interrupter) = (arguments.out, Interrupter::new());
    let full_screen = arguments.renderer.is_full_screen(arguments.plain)?;
    let training = if arguments.resume {
        Training::resume(&out, &devices)?
    } else {
        let recipe = arguments.numbers.over(Recipe::open(&arguments.recipe)?);
        let start = match (arguments.base, arguments.init) {
            (Some(base), _) => Start::Base(base),
            (None, Some(init)) => Start::Init(init),
            (None, None) => Start::Nothing,
        };
        // Clap requires it for a new run.
        let data = arguments.data.unwrap_or_default();
        Training::start(&start, &data, &out, recipe, &devices)?
    };
    for note in &training.loaded().notes {
        eprintln!("note: {note}");
    }
    let steps = training.steps();
    let names: Vec<_> = devices.iter().map(|d| format!("{} ({})", d.id, d.name)).collect();
    eprintln!("Training on {}, steps {} to {}", names.join(", "), steps.start, steps.end);
    for (dataset, images, expressions) in training.mix().sizes() {
        eprintln!("  {dataset}: {expressions} expressions of {images} images");
    }
    stop_on_ctrl_c(interrupter.clone())?;
    let renderer: Box<dyn MetricsRenderer> = match full_screen {
        true => default_renderer(interrupter.clone(), None),
        false => Box::new(Lines::new(steps)),
    };
    let finished = training.go(interrupter, renderer)?;
    if let Some(Best { ciou, step }) = finished.best {
        eprintln!("The best of the validations: {ciou:.2} % cIoU after step {step}");
    }
    match finished.model {
        Some(model) => eprintln!("The trained model is {}", model.display()),
        None => eprintln!(
            "Stopped after step {}; resume with: mllmseg train --resume --out {}",
            finished.steps,
            out.display()
        ),
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
