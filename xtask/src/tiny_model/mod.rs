//! The model of `assets/tiny/`: drawn scenes, a curriculum of four stages from nothing, and its card.

mod by_form;
mod card;
mod scenes;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use mllmseg::Segmenter;
use mllmseg::data::refer::{Dataset, Split};
use mllmseg::device::SelectedDevice;
use mllmseg::evaluate::{Benchmark, BenchmarkOptions, Evaluation, RunOptions, evaluate};
use mllmseg::scenes::World;
use mllmseg::train::Recipe;
use mllmseg::training::{Lines, Start, Training, export};

use by_form::by_form;
use card::{Card, sizes, stage_row};
pub use scenes::synth;
use scenes::{PLACES, SHAPES, SMALL, Scenes, TEST};

/// The curriculum: the recipes of its stages, the first from nothing, and the scenes of each. The run
/// of a stage is in a folder of the recipe's name.
const STAGES: [(&str, Scenes); 4] =
    [("tiny-begin", SMALL), ("tiny-shapes", SHAPES), ("tiny", SMALL), ("tiny-places", PLACES)];

/// Where everything goes.
#[derive(Debug)]
pub struct TinyModel {
    /// The checkpoint with its card.
    pub out: PathBuf,
    /// Scenes and the runs; kept, so that a stopped run can be resumed.
    pub work: PathBuf,
}

impl TinyModel {
    /// Draws the scenes unless they are there, trains, and writes model and card.
    ///
    /// # Errors
    /// Whatever fails first; called again, it resumes.
    pub fn make(&self, devices: &[SelectedDevice]) -> Result<(), Box<dyn Error>> {
        let mut start = Start::Nothing;
        for (name, scenes) in STAGES {
            let run = self.work.join(name);
            let model = trained(&run, devices, || {
                let data = self.draw(&scenes)?;
                Ok(Training::start(&start, &data, &run, Recipe::open(name)?, devices)?)
            })?;
            start = Start::Init(model);
        }
        self.publish(devices)
    }

    /// The folder of some scenes, which are drawn unless they are there.
    fn draw(&self, scenes: &Scenes) -> Result<PathBuf, Box<dyn Error>> {
        let out = self.work.join(scenes.folder);
        if !out.exists() {
            synth(&out, scenes.world.parse()?, scenes.images, scenes.seed)?;
        }
        Ok(out)
    }

    /// Writes the model of the last stage, which need not be finished, and its card.
    ///
    /// # Errors
    /// Whatever fails first.
    pub fn publish(&self, devices: &[SelectedDevice]) -> Result<(), Box<dyn Error>> {
        let device = devices.first().ok_or("no device")?;
        let [before @ .., (last, last_scenes)] = STAGES;
        let run = self.work.join(last);
        let step = export(&run, None, &self.out, device)?;
        let test = tempfile::tempdir()?;
        let scenes = test.path().join("scenes");
        synth(&scenes, World::small(), (TEST.0, 0), TEST.1)?;
        let segmenter = Segmenter::load(&self.out, device)?;
        let started = Instant::now();
        let gres = measure(&segmenter, &scenes, Dataset::GRefCoco)?;
        let time = started.elapsed();
        let res = measure(&segmenter, &scenes, Dataset::RefCoco)?;
        let mut stages = String::new();
        for (name, scenes) in before {
            stages += &stage_row(&self.work.join(name), None, &scenes)?;
        }
        stages += &stage_row(&run, Some(step), &last_scenes)?;
        let ids: Vec<&str> = devices.iter().map(|device| &*device.id).collect();
        let card = Card {
            sizes: sizes(segmenter.config()),
            devices: ids.join(","),
            stages,
            forms: by_form(&scenes, &gres)?,
            gres: gres.summary.numbers,
            res: res.summary.numbers,
            time,
        };
        Ok(fs::write(self.out.join("README.md"), card.text())?)
    }
}

/// The model of a run, which is started or resumed unless it is done.
pub(crate) fn trained(
    run: &Path,
    devices: &[SelectedDevice],
    begin: impl FnOnce() -> Result<Training, Box<dyn Error>>,
) -> Result<PathBuf, Box<dyn Error>> {
    let model = run.join("model");
    if !model.join("config.json").exists() {
        let training = match run.join("run.toml").exists() {
            true => Training::resume(run, devices)?,
            false => begin()?,
        };
        let lines = Lines::new(training.steps());
        training.go(Default::default(), Box::new(lines))?;
    }
    Ok(model)
}

/// Evaluates a model on the validation part of some scenes.
///
/// # Errors
/// If the scenes cannot be read or the model fails.
pub fn measure(
    segmenter: &Segmenter,
    scenes: &Path,
    dataset: Dataset,
) -> Result<Evaluation, Box<dyn Error>> {
    let benchmark = Benchmark::open(scenes, BenchmarkOptions::new(dataset, Split::Val))?;
    Ok(evaluate(segmenter, &benchmark.selection()?, RunOptions::default(), &mut |_| {})?)
}
