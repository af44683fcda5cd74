//! The card of the tiny model: data, steps, time, scores, and what it cannot do.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use mllmseg::evaluate::Numbers;
use mllmseg::model::MllmsegConfig;
use mllmseg::scenes::World;
use mllmseg::train::Recipe;

use super::scenes::{Scenes, TEST};

/// The parts of the card that change.
pub(super) struct Card {
    /// [`sizes`].
    pub sizes: String,
    /// As given to `--devices`.
    pub devices: String,
    /// A [`stage_row`] for each.
    pub stages: String,
    /// Rows of [`by_form`](super::by_form::by_form).
    pub forms: String,
    /// In the gRefCOCO layout.
    pub gres: Numbers,
    /// In the RefCOCO layout.
    pub res: Numbers,
    /// Duration of the evaluation in the gRefCOCO layout.
    pub time: Duration,
}

/// The sizes of the model, as the card tells them.
pub(super) fn sizes(config: &MllmsegConfig) -> String {
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

/// The card's row for a curriculum stage, after all of its steps or some of them.
pub(super) fn stage_row(
    run: &Path,
    step: Option<usize>,
    scenes: &Scenes,
) -> Result<String, Box<dyn Error>> {
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
        recipe.name, world, recipe.seed, seen[0], seen[1]
    ))
}

impl Card {
    pub(super) fn text(&self) -> String {
        let row = |numbers: &Numbers, names: &[&str]| {
            let value = |name| numbers.get(name).map_or("-".into(), |value| format!("{value:.1}"));
            names.iter().map(|name| value(name)).collect::<Vec<String>>().join(" | ")
        };
        let Self { sizes, devices, stages, forms, gres, res, .. } = self;
        format!(
            "# The tiny model

A small MLLMSeg, trained from nothing on drawn scenes by this project's own trainer: the same modules
as the published models with small numbers, so that everything works without a download. It is what
`mllmseg segment` uses when no checkpoint is named.

**What it cannot do: photographs.** It knows five shapes, six colours and two sizes in images that
`mllmseg synth` draws, and {words} words for them and for their places, relations and orders. It knows nothing
else: its masks of anything else mean nothing.

Sizes (`config.json`): {sizes}.

It was trained in stages on `--devices {devices}`; each stage continues from the one before. `cargo xtask tiny-model`
repeats all of it:

| recipe | data | seed | steps | images | expressions | time |
| --- | --- | --- | --- | --- | --- | --- |
{stages}
Scores on {images} scenes of another seed (`mllmseg synth --out scenes --images {images} --seed {test_seed}`,
then `mllmseg eval --data scenes --dataset grefcoco --split val`, and `refcoco`), in percent:

| gRefCOCO layout | gIoU | cIoU | N-acc | T-acc | expressions | time |
| --- | --- | --- | --- | --- | --- | --- |
| | {gres_scores} | {gn} | {seconds:.0} s |

| RefCOCO layout | cIoU | mIoU | Prec@0.5 | Prec@0.9 | REC Prec@0.5 | expressions |
| --- | --- | --- | --- | --- | --- | --- |
| | {res_scores} | {rn} |

REC is the row of the paper's Table 2: the box around the mask against the annotated box. In the gRefCOCO
layout, by the form of the expression:

| such as | with a target | mIoU | Prec@0.5 | without | N-acc |
| --- | --- | --- | --- | --- | --- |
{forms}",
            words = World::small().vocabulary().len(),
            images = TEST.0,
            test_seed = TEST.1,
            gres_scores = row(gres, &["giou", "ciou", "n_acc", "t_acc"]),
            gn = gres.n(),
            seconds = self.time.as_secs_f64(),
            res_scores = row(res, &["ciou", "miou", "prec@0.5", "prec@0.9", "rec_prec@0.5"]),
            rn = res.n(),
        )
    }
}
