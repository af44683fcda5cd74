//! The model of `assets/tiny/`: drawn scenes, a curriculum of four stages from nothing, and its card.

mod by_form;
mod card;
mod scenes;

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::Args;
use mllmseg::Segmenter;
use mllmseg::data::files::write_file;
use mllmseg::data::refer::{Dataset, Split};
use mllmseg::device::{DeviceList, SelectedDevice};
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
#[derive(Debug, Args)]
pub struct TinyModel {
    /// Folder of the checkpoint and its card
    #[arg(long, default_value = "assets/tiny")]
    out: PathBuf,
    /// Folder of the scenes and the runs
    #[arg(long, default_value = "target/tiny-model")]
    work: PathBuf,
    /// Only write model and card of the last stage, as it is so far
    #[arg(long)]
    publish: bool,
    /// Devices that share each step; the card is of a run on cpu,cpu
    #[arg(long, value_name = "LIST", default_value = "cpu,cpu")]
    devices: DeviceList,
}

impl TinyModel {
    /// Draws the scenes unless they are there, trains, and writes model and card; with `publish` it
    /// only writes.
    ///
    /// # Errors
    /// Whatever fails first; called again, it resumes.
    pub fn make(&self) -> Result<(), Box<dyn Error>> {
        let devices = self.devices.select()?;
        let mut start = Start::Nothing;
        for (name, scenes) in STAGES.iter().filter(|_| !self.publish) {
            let run = self.work.join(name);
            let model = trained(&run, &devices, || {
                let data = self.draw(scenes)?;
                Ok(Training::start(&start, &data, &run, Recipe::open(name)?, &devices)?)
            })?;
            start = Start::Init(model);
        }
        self.write(&devices)
    }

    /// The folder of some scenes, which are drawn unless they are there.
    fn draw(&self, scenes: &Scenes) -> Result<PathBuf, Box<dyn Error>> {
        let out = self.work.join(scenes.folder);
        if !out.exists() {
            synth(&out, scenes.world.parse()?, scenes.images, scenes.seed)?;
        }
        Ok(out)
    }

    /// Writes the model of the last stage, as it is so far, and its card.
    fn write(&self, devices: &[SelectedDevice]) -> Result<(), Box<dyn Error>> {
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
            sizes: sizes(&segmenter.config),
            devices: ids.join(","),
            stages,
            forms: by_form(&scenes, &gres)?,
            gres: gres.summary.numbers,
            res: res.summary.numbers,
            time,
        };
        let path = self.out.join("README.md");
        Ok(write_file(&path, |file| file.write_all(card.text().as_bytes()))?)
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
        let mut lines = Lines::new(training.steps(), false);
        training.go(&AtomicBool::new(false), &mut lines)?;
    }
    Ok(model)
}

/// A checkpoint on the validation part of some scenes.
pub fn measure(
    segmenter: &Segmenter,
    scenes: &Path,
    dataset: Dataset,
) -> Result<Evaluation, Box<dyn Error>> {
    let benchmark = Benchmark::open(scenes, BenchmarkOptions::new(dataset, Split::Val))?;
    Ok(evaluate(segmenter, &benchmark.selection()?, RunOptions::default(), &mut |_| {})?)
}
