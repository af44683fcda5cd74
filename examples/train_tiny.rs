//! Training: a new model of a few million weights learns drawn scenes for some steps.
//!
//! The model of `assets/tiny/` took 16000 such steps; a few lower the loss and teach nothing yet.
//!
//!     cargo run --release --example train_tiny -- [STEPS]

use std::error::Error;
use std::sync::atomic::AtomicBool;

use mllmseg::device;
use mllmseg::scenes::{ImageFormat, SynthOptions, World, write_dataset};
use mllmseg::train::Recipe;
use mllmseg::training::{Lines, Start, Training};

fn main() -> Result<(), Box<dyn Error>> {
    let steps = std::env::args().nth(1).map_or(Ok(20), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let (data, run) = (folder.path().join("data"), folder.path().join("run"));
    let options = SynthOptions {
        out: data.clone(),
        images: 2,
        train_images: 32,
        seed: 7,
        format: ImageFormat::Png,
        world: World::small(),
    };
    let drawn = write_dataset(&options, &mut |_, _| {})?;
    println!("{} images, {} expressions", drawn.images, drawn.grefcoco);

    // A recipe has every number of a run; `mllmseg train --recipe FILE` reads the same from TOML.
    let mut recipe = Recipe::open("tiny-begin")?;
    recipe.steps = steps;
    recipe.data.expressions_per_image = 4;
    recipe.validation.dataset.clear(); // no validation

    let devices = [device::cpu()];
    let training = Training::start(&Start::Nothing, &data, &run, recipe, &devices)?;
    let mut lines = Lines::new(training.steps(), false); // to standard error
    let finished = training.go(&AtomicBool::new(false), &mut lines)?;

    let table = std::fs::read_to_string(run.join("steps.csv"))?;
    let mut lines = table.lines();
    println!("{}", lines.next().unwrap_or_default());
    for line in lines.clone().take(1).chain(lines.last()) {
        println!("{line}");
    }
    let model = finished.model.ok_or("the training was stopped")?;
    println!("{} steps; the model is a checkpoint folder:", finished.steps);
    for entry in std::fs::read_dir(model)? {
        println!("  {}", entry?.file_name().display());
    }
    Ok(())
}
