//! `mllmseg doctor`: what this machine and this program can do together.

mod fit;
mod report;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueHint};
use mllmseg::device::{DeviceChoice, GpuKind, SelectedDevice, available, gpu_memory, idle_gpu};
use mllmseg::hub::Hub;
use mllmseg::machine::{cpu, free_disk, free_memory};
use mllmseg::model::Preset;
use mllmseg::scenes::{Part, World, expressions, generate, single_expressions};
use mllmseg::{Segmenter, tiny};
use strum::VariantArray;

use super::CliError;
use super::checkpoint::checkpoint_in_cache;
use super::terminal::print_result;
use fit::{ModelFit, checkpoint_fit, preset_fit};
use report::{Device, Folder, Report, Trial};

/// Say which devices, memory and folders there are, what --device auto takes, and which models fit
///
/// Ends with exit code 1 if something is broken: a device that computes wrong masks, a folder that
/// cannot be written, a wrong setting, or a checkpoint that cannot be loaded.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// A checkpoint to look at instead of the published sizes: a folder, or OWNER/NAME in the cache
    #[arg(long, value_name = "DIR|OWNER/NAME", value_hint = ValueHint::DirPath)]
    checkpoint: Option<PathBuf>,
    /// auto, cpu, cuda[:N], wgpu[:N], vulkan[:N], metal[:N] or rocm[:N]
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Looks, and prints what it finds.
pub fn run(arguments: DoctorArgs) -> Result<(), CliError> {
    let mut problems = Vec::new();
    let selected = arguments.device.select()?;
    let devices = available().iter().map(described).collect();
    let folders = folders(&mut problems);
    let trial = trial(&selected).map_err(|error| problems.push(error.to_string())).ok();
    let memory = memory_of(&selected);
    let models = match &arguments.checkpoint {
        None => Preset::ALL.map(|preset| preset_fit(preset, &selected, memory)).into(),
        Some(name) => match fit_of(name, &selected, memory) {
            Ok(fit) => vec![fit],
            Err(error) => {
                problems.push(error.to_string());
                Vec::new()
            }
        },
    };
    let not_built_in = GpuKind::VARIANTS.iter().filter(|kind| !kind.is_built_in());
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        cpu: cpu(),
        free_memory_bytes: free_memory(),
        devices,
        not_built_in: not_built_in.map(ToString::to_string).collect(),
        idle_gpu: idle_gpu(),
        selected: selected.id,
        asked: arguments.device.to_string(),
        trial,
        folders,
        models,
        problems,
    };
    match arguments.json {
        true => print_result(serde_json::to_string_pretty(&report)?)?,
        false => print_result(report.text()?.trim_end())?,
    }
    match report.problems.len() {
        0 => Ok(()),
        1 => Err("something is broken; it is named above".into()),
        count => Err(format!("{count} things are broken; they are named above").into()),
    }
}

fn described(device: &SelectedDevice) -> Device {
    let kind = device.id.split(':').next().unwrap_or_default();
    let feature = kind.parse::<GpuKind>().ok().map(|kind| kind.to_string());
    Device {
        id: device.id.clone(),
        name: device.name.clone(),
        feature,
        is_hardware_gpu: device.is_hardware_gpu,
        memory_bytes: if device.is_hardware_gpu { gpu_memory(&device.name) } else { None },
    }
}

/// Bytes that a model may take on a device, where that is known.
fn memory_of(device: &SelectedDevice) -> Option<u64> {
    match device.is_hardware_gpu {
        true => gpu_memory(&device.name),
        false => free_memory(),
    }
}

/// The caches, and how much room there is.
fn folders(problems: &mut Vec<String>) -> Vec<Folder> {
    let mut folders = Vec::new();
    let mut add = |what, found: Result<PathBuf, String>| match found {
        Ok(path) => {
            let there = path.ancestors().find(|folder| folder.is_dir());
            let free_bytes = there.and_then(free_disk);
            if let Err(error) = there.map_or(Ok(()), is_writable) {
                problems.push(format!("{what} {}: cannot be written: {error}", path.display()));
            }
            folders.push(Folder { what, path, free_bytes });
        }
        Err(error) => problems.push(format!("{what}: {error}")),
    };
    let hub = Hub::from_env().and_then(|hub| hub.check().map(|()| hub.cache));
    add("models of the hub", hub.map_err(|error| error.to_string()));
    add("tiny model", tiny::folder().map_err(|error| error.to_string()));
    add("working folder", std::env::current_dir().map_err(|error| error.to_string()));
    folders
}

fn is_writable(folder: &Path) -> std::io::Result<()> {
    tempfile::tempfile_in(folder).map(drop)
}

/// A drawn scene, whose mask is known, segmented by the tiny model on a device.
fn trial(device: &SelectedDevice) -> Result<Trial, CliError> {
    let world = World::small();
    let scene = generate(&world, 7, Part::Val.index(0));
    let expressions = single_expressions(&world, &scene, &expressions(&world, &scene));
    let expression = expressions.first().ok_or("the drawn scene has no expression")?;
    let truth = scene.mask(&expression.targets);
    let segmenter = Segmenter::load(tiny::folder()?, device)?;
    let start = Instant::now();
    let found = segmenter.encode(&scene.draw())?.segment(&expression.text)?;
    let seconds = start.elapsed().as_secs_f64();
    let pairs = || found.mask.pixels().iter().zip(truth.pixels());
    let both = pairs().filter(|(a, b)| **a && **b).count();
    let either = pairs().filter(|(a, b)| **a || **b).count();
    let iou = both as f64 / either.max(1) as f64;
    match iou >= 0.5 {
        true => Ok(Trial { expression: expression.text.clone(), iou, seconds }),
        false => Err(format!(
            "{} computes wrong masks: IoU {iou:.2} for {:?} in a drawn scene; take another --device",
            device.id, expression.text
        )
        .into()),
    }
}

fn fit_of(name: &Path, device: &SelectedDevice, memory: Option<u64>) -> Result<ModelFit, CliError> {
    checkpoint_fit(name, &checkpoint_in_cache(name)?, device, memory)
}
