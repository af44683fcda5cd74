//! The model of `assets/tiny/`: drawn scenes, a training from nothing in three lessons, and its card.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mllmseg::Segmenter;
use mllmseg::data::refer::{Dataset, Split};
use mllmseg::data::scenes::{PictureFormat, SynthOptions, World, write_dataset};
use mllmseg::device::SelectedDevice;
use mllmseg::evaluate::{
    Benchmark, BenchmarkOptions, Evaluation, Numbers, RunOptions, Watch, evaluate,
};
use mllmseg::model::MllmsegConfig;
use mllmseg::train::Recipe;
use mllmseg::train::learner::lines::Lines;
use mllmseg::training::{Start, Training, export};

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

/// The recipes that follow each other, the first from nothing, and what each of them learns from. The
/// run of a lesson is in a folder of the recipe's name.
const LESSONS: [(&str, Scenes); 3] =
    [("tiny-begin", SMALL), ("tiny-shapes", SHAPES), ("tiny", SMALL)];

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
        let [before @ .., (last, _)] = LESSONS;
        let run = self.work.join(last);
        let step = export(&run, None, &self.out, device)?;
        let test = tempfile::tempdir()?;
        let scenes = test.path().join("scenes");
        synth(&scenes, World::small(), (TEST.0, 0), TEST.1)?;
        let segmenter = Segmenter::load(&self.out, device)?;
        let started = Instant::now();
        let gres = measure(&segmenter, &self.out, &scenes, Dataset::GRefCoco)?;
        let time = started.elapsed();
        let res = measure(&segmenter, &self.out, &scenes, Dataset::RefCoco)?;
        let mut rows = String::new();
        for (name, scenes) in before {
            rows += &lesson_row(&self.work.join(name), None, &scenes)?;
        }
        rows += &lesson_row(&run, Some(step), &SMALL)?;
        let spellings: Vec<&str> = devices.iter().map(|device| &*device.spelling).collect();
        let card =
            card(&rows, &sizes(segmenter.config()), &spellings.join(","), [&gres, &res], time);
        Ok(fs::write(self.out.join("README.md"), card)?)
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
pub(crate) fn synth(
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

/// Nobody watches.
struct Quiet;

impl Watch for Quiet {
    fn begin(&mut self, _done: usize, _total: usize) {}

    fn advance(&mut self, _done: usize, _ciou: Option<f64>) {}
}

/// A checkpoint on the validation part of some scenes.
pub(crate) fn measure(
    segmenter: &Segmenter,
    checkpoint: &Path,
    scenes: &Path,
    dataset: Dataset,
) -> Result<Evaluation, Box<dyn Error>> {
    let benchmark = Benchmark::open(scenes, BenchmarkOptions::new(dataset, Split::Val))?;
    let options = RunOptions { checkpoint, predictions: None, resume: false };
    Ok(evaluate(segmenter, &benchmark.selection()?, options, &mut Quiet)?)
}

/// What a reader of the card wants to know of the sizes.
fn sizes(config: &MllmsegConfig) -> String {
    let (vision, language) = (&config.vision, &config.language);
    format!(
        "{} pixels, patches of {}; vision of {} layers {} wide, language model of {} layers {} wide",
        config.image_size,
        vision.patch_size,
        vision.num_hidden_layers,
        vision.hidden_size,
        language.num_hidden_layers,
        language.hidden_size,
    )
}

/// What the card says of a lesson, after all of its steps or some of them.
fn lesson_row(run: &Path, step: Option<usize>, scenes: &Scenes) -> Result<String, Box<dyn Error>> {
    let recipe = Recipe::read(&run.join("recipe.toml"))?;
    let step = step.unwrap_or(recipe.steps);
    let steps = fs::read_to_string(run.join("steps.csv"))?;
    let mut lines = steps.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let place = |name: &str| names.iter().position(|found| *found == name).ok_or("no such column");
    let [images, expressions, speed] =
        [place("images")?, place("expressions")?, place("images_per_second")?];
    let (mut seen, mut hours) = ([0.0; 2], 0.0);
    for line in lines.take(step) {
        let row: Vec<f64> = line.split(',').map(|value| value.parse().unwrap_or(0.0)).collect();
        let value = |at: usize| row.get(at).copied().unwrap_or(0.0);
        seen = [seen[0] + value(images), seen[1] + value(expressions)];
        hours += value(images) / value(speed).max(f64::MIN_POSITIVE) / 3600.0;
    }
    let Scenes { world, images: (images, train_images), seed, .. } = scenes;
    Ok(format!(
        "| `{}` | `mllmseg synth --world {} --images {images} --train-images {train_images} --seed {seed}` \
         | {} | {step} | {:.0} | {:.0} | {hours:.1} h |\n",
        recipe.name,
        world(),
        recipe.seed,
        seen[0],
        seen[1]
    ))
}

fn card(
    lessons: &str,
    sizes: &str,
    devices: &str,
    [gres, res]: [&Evaluation; 2],
    time: Duration,
) -> String {
    let number = |numbers: &Numbers, name: &str| {
        numbers.get(name).map_or("-".to_string(), |value| format!("{value:.1}"))
    };
    let (g, r) =
        (|name| number(&gres.summary.numbers, name), |name| number(&res.summary.numbers, name));
    format!(
        "# The tiny model

A small MLLMSeg, trained from nothing on drawn scenes by this project's own trainer: the same modules
as the published models with small numbers, so that everything works without a download. It is what
`mllmseg segment` uses when no checkpoint is named.

**What it cannot do: photographs.** Its world is five shapes, six colours and two sizes in pictures that
`mllmseg synth` draws, with {words} words for them and for their places, relations and orders. Of anything else
it knows nothing, and its masks of anything else mean nothing.

Sizes (`config.json`): {sizes}.

It learnt in lessons, each from where the one before ended, on `--devices {devices}`. `cargo xtask tiny-model`
does all of it again:

| recipe | data | seed | steps | images | expressions | time |
| --- | --- | --- | --- | --- | --- | --- |
{lessons}
Scores on {images} scenes of another seed (`mllmseg synth --out scenes --images {images} --seed {test_seed}`,
then `mllmseg eval --data scenes --dataset grefcoco --split val`, and `refcoco`), in percent:

| gRefCOCO layout | gIoU | cIoU | N-acc | T-acc | expressions | time |
| --- | --- | --- | --- | --- | --- | --- |
| | {giou} | {gciou} | {nacc} | {tacc} | {gn} | {seconds:.0} s |

| RefCOCO layout | cIoU | mIoU | Prec@0.5 | Prec@0.9 | REC Prec@0.5 | expressions |
| --- | --- | --- | --- | --- | --- | --- |
| | {rciou} | {miou} | {p50} | {p90} | {rec} | {rn} |

REC is the row of the paper's Table 2: the box around the mask against the annotated box.
",
        words = World::small().vocabulary().len(),
        images = TEST.0,
        test_seed = TEST.1,
        giou = g("giou"),
        gciou = g("ciou"),
        nacc = g("n_acc"),
        tacc = g("t_acc"),
        gn = gres.summary.numbers.n(),
        seconds = time.as_secs_f64(),
        rciou = r("ciou"),
        miou = r("miou"),
        p50 = r("prec@0.5"),
        p90 = r("prec@0.9"),
        rec = r("rec_prec@0.5"),
        rn = res.summary.numbers.n(),
    )
}
