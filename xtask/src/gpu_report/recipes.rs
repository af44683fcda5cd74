//! Steps of every recipe, from drawn scenes to the update.

use std::error::Error;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use mllmseg::device::SelectedDevice;
use mllmseg::scenes::World;
use mllmseg::tiny;
use mllmseg::train::display::Display;
use mllmseg::train::metrics::StepNumbers;
use mllmseg::train::{MaskLoss, Recipe};
use mllmseg::training::{Start, Training};
use mllmseg_data::metrics::GeneralizedReport;
use serde::Serialize;

use crate::tiny_model::synth;
use crate::weights::{CheckpointOptions, write_checkpoint};

/// Steps of a run. The last is measured: a device compiles its kernels in the first.
const STEPS: usize = 2;
/// The reference case whose model the paper's recipes train: a small language model behind the
/// published vision encoder.
const CASE: &str = "qwen2";
/// A recipe of the paper; by it, two devices are compared with one.
const PAPER: &str = "res-paper";

/// The last step of a run.
#[derive(Debug, Serialize)]
pub struct Steps {
    pub devices: usize,
    pub images: usize,
    pub seconds: f64,
    pub loss: f64,
}

/// The recipes that are built in, on the first device, and one of the paper's on all.
pub fn runs(devices: &[SelectedDevice]) -> Vec<(&'static str, &[SelectedDevice])> {
    let alone = Recipe::BUILT_IN.iter().map(|&(name, _)| (name, &devices[..devices.len().min(1)]));
    let together = (devices.len() > 1).then_some((PAPER, devices));
    alone.chain(together).collect()
}

/// Trains by a recipe for [`STEPS`] steps, with one batch for each device.
pub fn steps(
    name: &str,
    devices: &[SelectedDevice],
    cases: &Path,
) -> Result<Steps, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let [data, base, run] = ["data", "base", "run"].map(|part| folder.path().join(part));
    synth(&data, World::small(), (1, 8), 1)?;
    let mut recipe = Recipe::open(name)?;
    recipe.steps = STEPS;
    recipe.batch.batches_per_step = devices.len();
    recipe.data.mix.retain(|dataset| dataset == "refcoco" || dataset == "grefcoco");
    recipe.validation.dataset.clear();
    let is_paper = name.ends_with("-paper");
    let start = match &recipe.new_model {
        Some(_) => Start::Nothing,
        None if is_paper => {
            write_checkpoint(&cases.join(CASE), &base, &CheckpointOptions::default())?;
            Start::Base(base)
        }
        None => Start::Init(tiny::folder()?.into()),
    };
    let training = Training::start(&start, &data, &run, recipe, devices)?;
    let mut last = Last::default();
    training.go(&AtomicBool::new(false), &mut last)?;
    let Last(StepNumbers { images, images_per_second, losses, .. }) = last;
    let seconds = images as f64 / images_per_second;
    Ok(Steps { devices: devices.len(), images, seconds, loss: losses.total })
}

/// Keeps the numbers of the last step.
#[derive(Default)]
struct Last(StepNumbers);

impl Display for Last {
    fn start(&mut self, _: MaskLoss, _: usize) {}

    fn step(&mut self, numbers: &StepNumbers) {
        self.0 = *numbers;
    }

    fn start_validation(&mut self, _: usize) {}

    fn validation_pass(&mut self, _: usize, _: &GeneralizedReport) {}

    fn end_validation(&mut self) {}

    fn end(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_devices_share_the_steps_of_one_more_run() {
        let cpu = mllmseg::device::cpu();
        assert_eq!(runs(&[cpu.clone()]).len(), Recipe::BUILT_IN.len());
        let both = [cpu.clone(), cpu];
        let runs = runs(&both);
        let devices: Vec<_> = runs.iter().map(|(_, devices)| devices.len()).collect();
        assert_eq!(devices, [1, 1, 1, 1, 1, 1, 2]);
    }
}
