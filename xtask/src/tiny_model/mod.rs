//! The model of `assets/tiny/`: drawn scenes, a training from nothing in four lessons, and its card.

mod by_form;
mod card;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use mllmseg::Segmenter;
use mllmseg::data::refer::{Dataset, Split};
use mllmseg::data::scenes::{PictureFormat, SynthOptions, World, write_dataset};
use mllmseg::device::SelectedDevice;
use mllmseg::evaluate::{Benchmark, BenchmarkOptions, Evaluation, RunOptions, evaluate};
use mllmseg::train::Recipe;
use mllmseg::train::learner::lines::Lines;
use mllmseg::training::{Start, Training, export};

use by_form::by_form;
use card::{Card, lesson_row, sizes};

/// Scenes to learn from.
struct Scenes {
    folder: &'static str,
    world: fn() -> World,
    /// Pictures of val, testA and testB, and of train.
    images: (u64, u64),
    seed: u64,
}

const SMALL: Scenes =
    Scenes { folder: "scenes", world: World::small, images: (200, 60_000), seed: 1 };
const SHAPES: Scenes =
    Scenes { folder: "shapes", world: World::shapes, images: (60, 15_000), seed: 2 };
const PLACES: Scenes =
    Scenes { folder: "places", world: World::places, images: (100, 36_000), seed: 5 };

/// The recipes that follow each other, the first from nothing, and what each of them learns from. The
/// run of a lesson is in a folder of the recipe's name.
const LESSONS: [(&str, Scenes); 4] =
    [("tiny-begin", SMALL), ("tiny-shapes", SHAPES), ("tiny", SMALL), ("tiny-places", PLACES)];

/// Pictures of the model card's scores, and their seed: no training ever draws it.
const TEST: (u64, u64) = (150, 20_261_123);

/// Where everything goes.
#[derive(Debug)]
pub struct TinyModel {
    /// The checkpoint with its card.
    pub out: PathBuf,
    /// Scenes and the run; kept, so that a stopped run goes on.
    pub work: PathBuf,
}

impl TinyModel {
    /// Draws the scenes unless they are there, trains or goes on training, and writes model and
    /// card.
    ///
    /// # Errors
    /// Whatever fails first; called again, it goes on.
    pub fn make(&self, devices: &[SelectedDevice]) -> Result<(), Box<dyn Error>> {
        let mut start = Start::Nothing;
        for (name, scenes) in LESSONS {
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
            synth(&out, (scenes.world)(), scenes.images, scenes.seed)?;
        }
        Ok(out)
    }

    /// Writes the model of the last lesson, as it is so far, and its card.
    ///
    /// # Errors
    /// Whatever fails first.
    pub fn publish(&self, devices: &[SelectedDevice]) -> Result<(), Box<dyn Error>> {
        let device = devices.first().ok_or("no device")?;
        let [before @ .., (last, learnt)] = LESSONS;
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
        let mut lessons = String::new();
        for (name, scenes) in before {
            lessons += &lesson_row(&self.work.join(name), None, &scenes)?;
        }
        lessons += &lesson_row(&run, Some(step), &learnt)?;
        let spellings: Vec<&str> = devices.iter().map(|device| &*device.spelling).collect();
        let card = Card {
            sizes: sizes(segmenter.config()),
            devices: spellings.join(","),
            lessons,
            forms: by_form(&scenes, &gres)?,
            gres: gres.summary.numbers,
            res: res.summary.numbers,
            time,
        };
        Ok(fs::write(self.out.join("README.md"), card.text())?)
    }
}

/// The model of a run, which is begun, or gone on with, unless it is done.
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
        let (first, steps) = (training.next_step(), training.recipe().steps);
        training.go(Default::default(), Box::new(Lines::new(first, steps)))?;
    }
    Ok(model)
}

/// Scenes on disk: `images` in each of val, testA and testB, and in train.
///
/// # Errors
/// If they cannot be written.
pub fn synth(
    out: &Path,
    world: World,
    (images, train_images): (u64, u64),
    seed: u64,
) -> Result<(), Box<dyn Error>> {
    let format = PictureFormat::Jpeg;
    let options =
        SynthOptions { out: out.to_path_buf(), images, train_images, seed, format, world };
    write_dataset(&options, &mut |_, _| {})?;
    Ok(())
}

/// A checkpoint on the validation part of some scenes.
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
