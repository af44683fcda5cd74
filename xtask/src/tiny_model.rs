//! The model of `assets/tiny/`: drawn scenes, a training from nothing, and its card.

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
use mllmseg::train::Recipe;
use mllmseg::train::learner::lines::Lines;
use mllmseg::training::{Start, Training, export};

/// Pictures to learn from.
const TRAIN_IMAGES: u64 = 24_000;
/// Their seed.
const SEED: u64 = 1;
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
    pub fn make(&self, device: &SelectedDevice) -> Result<(), Box<dyn Error>> {
        let (scenes, run) = (self.work.join("scenes"), self.work.join("run"));
        if !scenes.exists() {
            synth(&scenes, 200, TRAIN_IMAGES, SEED)?;
        }
        let devices = std::slice::from_ref(device);
        let training = match run.join("run.toml").exists() {
            true => Training::resume(&run, devices)?,
            false => {
                Training::start(&Start::Nothing, &scenes, &run, Recipe::open("tiny")?, devices)?
            }
        };
        let (first, steps) = (training.next_step(), training.recipe().steps);
        let renderer = Box::new(Lines::new(first, steps));
        training.go(Default::default(), renderer)?;
        self.publish(&run, device)
    }

    /// Writes the model of a run, as it is so far, and its card.
    ///
    /// # Errors
    /// Whatever fails first.
    pub fn publish(&self, run: &Path, device: &SelectedDevice) -> Result<(), Box<dyn Error>> {
        let step = export(run, None, &self.out, device)?;
        let test = tempfile::tempdir()?;
        let scenes = test.path().join("scenes");
        synth(&scenes, TEST.0, 0, TEST.1)?;
        let segmenter = Segmenter::load(&self.out, device)?;
        let started = Instant::now();
        let gres = measure(&segmenter, &self.out, &scenes, Dataset::GRefCoco)?;
        let time = started.elapsed();
        let res = measure(&segmenter, &self.out, &scenes, Dataset::RefCoco)?;
        let recipe = Recipe::read(&run.join("recipe.toml"))?;
        let card = card(&recipe, run, step, device, &gres, &res, time)?;
        Ok(fs::write(self.out.join("README.md"), card)?)
    }
}

/// Scenes of the small world.
pub(crate) fn synth(
    out: &Path,
    images: u64,
    train_images: u64,
    seed: u64,
) -> Result<(), Box<dyn Error>> {
    let (format, world) = (PictureFormat::Jpeg, World::small());
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

fn card(
    recipe: &Recipe,
    run: &Path,
    step: usize,
    device: &SelectedDevice,
    gres: &Evaluation,
    res: &Evaluation,
    time: Duration,
) -> Result<String, Box<dyn Error>> {
    let rows = fs::read_to_string(run.join("steps.csv"))?;
    let taken: Vec<Vec<f64>> = rows
        .lines()
        .skip(1)
        .take(step)
        .map(|row| row.split(',').map(|value| value.parse().unwrap_or(0.0)).collect())
        .collect();
    let column = |index: usize| taken.iter().filter_map(move |row| row.get(index)).copied();
    let expressions: f64 = column(9).sum();
    let hours: f64 =
        taken.iter().filter_map(|row| Some(row.get(8)? / row.get(10)?)).sum::<f64>() / 3600.0;
    let number = |numbers: &Numbers, name: &str| {
        numbers.get(name).map_or("-".to_string(), |value| format!("{value:.1}"))
    };
    let (g, r) =
        (|name| number(&gres.summary.numbers, name), |name| number(&res.summary.numbers, name));
    Ok(format!(
        "# The tiny model

A small MLLMSeg, trained from nothing on drawn scenes by this project's own trainer: the same modules
as the published models with small numbers, so that everything works without a download. It is what
`mllmseg segment` uses when no checkpoint is named.

**What it cannot do: photographs.** It knows five shapes, six colours, two sizes, places, simple relations
and orders in pictures that `mllmseg synth` draws, and 41 words for them. Of anything else it knows
nothing, and its masks of anything else mean nothing.

| | |
| --- | --- |
| sizes | `config.json`: {layers} |
| data | `mllmseg synth --images 200 --train-images {TRAIN_IMAGES} --seed {SEED}`, the small world |
| training | recipe `{name}`, seed {seed}: after {step} of {steps} steps, {expressions:.0} expressions; {hours:.1} hours of {hardware} |
| again | `cargo xtask tiny-model` |

Scores on {images} scenes of another seed (`mllmseg synth --out scenes --images {images} --seed {test_seed}`,
then `mllmseg eval --data scenes --dataset grefcoco --split val`, and `refcoco`), in percent:

| gRefCOCO layout | gIoU | cIoU | N-acc | T-acc | expressions | time |
| --- | --- | --- | --- | --- | --- | --- |
| | {giou} | {gciou} | {nacc} | {tacc} | {gn} | {seconds:.0} s |

| RefCOCO layout | cIoU | mIoU | Prec@0.5 | Prec@0.9 | REC Prec@0.5 | expressions |
| --- | --- | --- | --- | --- | --- | --- |
| | {rciou} | {miou} | {p50} | {p90} | {rec} | {rn} |
",
        layers = "112 pixels, patches of 8, vision and language model of 4 layers 128 wide",
        name = recipe.name,
        seed = recipe.seed,
        steps = recipe.steps,
        hardware = device.name,
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
    ))
}
