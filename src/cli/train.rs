//! `mllmseg train`: from a base, a trained model or nothing to a checkpoint.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::train::Interrupter;
use burn::train::renderer::{MetricsRenderer, default_renderer};
use clap::{Args, ValueHint};
use mllmseg::device::{DeviceChoice, DeviceList};
use mllmseg::train::Recipe;
use mllmseg::train::learner::lines::Lines;
use mllmseg::train::loss::MaskLoss;
use mllmseg::training::{Start, Training};

use super::CliError;

/// Train on RefCOCO, RefCOCO+, RefCOCOg, RefCLEF, gRefCOCO or your own data
///
/// Every number has the published value unless a recipe or a flag says otherwise. Ctrl-C stops after
/// the step with a snapshot; --resume goes on as if the run had never stopped.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Base checkpoint to start from; without a mask decoder it gets a fresh one
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with_all = ["init", "resume"])]
    base: Option<PathBuf>,
    /// Trained model to go on from, such as the first stage's
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "resume")]
    init: Option<PathBuf>,
    /// Root folder of the data sets; for `own`, the folder of train.jsonl
    #[arg(long, value_name = "ROOT", value_hint = ValueHint::DirPath, required_unless_present = "resume")]
    data: Option<PathBuf>,
    /// Folder of the run: snapshots, curves, and in the end model/
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: PathBuf,
    /// Go on from the run's last snapshot; base, data and recipe are the run's own
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
    /// Plain lines even on a terminal
    #[arg(long)]
    plain: bool,
}

/// Flags over the recipe's numbers.
#[derive(Debug, Args)]
struct Numbers {
    /// Data sets to draw from, such as refclef,refcoco,refcoco+,refcocog or own; one may come twice
    #[arg(long, value_delimiter = ',', conflicts_with = "resume")]
    mix: Option<Vec<String>>,
    /// Updates of the weights
    #[arg(long, conflicts_with = "resume")]
    steps: Option<usize>,
    /// What all random choices are drawn from
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
    /// Number type of the frozen weights: auto, f32, f16 or bf16
    #[arg(long, conflicts_with = "resume")]
    dtype: Option<String>,
    /// Keep only each block's input, and compute its inside again for the backward pass
    #[arg(long, conflicts_with = "resume")]
    recompute: bool,
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
            // The recipe's validation is on data that it learns from, which may not be there now.
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
        recipe.recompute |= self.recompute;
        set(&mut recipe.snapshots.every, self.snapshot_every);
        let none = |name: String| if name == "none" { String::new() } else { name };
        set(&mut recipe.validation.dataset, self.validate_on.map(none));
        set(&mut recipe.validation.every, self.validate_every);
        recipe
    }
}

/// Trains.
///
/// # Errors
/// See [`Training`].
pub fn run(arguments: TrainArgs) -> Result<(), CliError> {
    let devices = arguments.devices.unwrap_or_else(|| arguments.device.into()).select()?;
    let out = arguments.out;
    let training = if arguments.resume {
        Training::resume(&out, &devices)?
    } else {
        let recipe = arguments.numbers.over(Recipe::open(&arguments.recipe)?);
        let start = match (arguments.base, arguments.init) {
            (Some(base), _) => Start::Base(base),
            (None, Some(init)) => Start::Init(init),
            (None, None) => Start::Nothing,
        };
        // Clap asks for it where it is needed.
        let data = arguments.data.unwrap_or_default();
        Training::start(&start, &data, &out, recipe, &devices)?
    };
    let (first, steps) = (training.next_step(), training.recipe().steps);
    let names: Vec<_> = devices.iter().map(|d| format!("{} ({})", d.spelling, d.name)).collect();
    eprintln!("Training on {}, steps {first} to {steps}", names.join(", "));
    for (dataset, images, expressions) in training.mix().sizes() {
        eprintln!("  {dataset}: {expressions} expressions of {images} images");
    }
    let interrupter = Interrupter::new();
    stop_on_ctrl_c(interrupter.clone())?;
    let renderer: Box<dyn MetricsRenderer> = match arguments.plain || !on_terminal() {
        true => Box::new(Lines::new(first, steps)),
        false => default_renderer(interrupter.clone(), None),
    };
    let finished = training.go(interrupter, renderer)?;
    match finished.model {
        Some(model) => {
            if let Some(best) = finished.best {
                eprintln!(
                    "The best of the validations: {:.2} % cIoU after step {}",
                    best.ciou, best.step
                );
            }
            eprintln!("The trained model is {}", model.display());
        }
        None => eprintln!(
            "Stopped after step {}; go on with: mllmseg train --resume --out {}",
            finished.steps,
            out.display()
        ),
    }
    Ok(())
}

fn on_terminal() -> bool {
    use std::io::IsTerminal;
    std::io::stdout().is_terminal()
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
