//! `mllmseg synth`: a data set of drawn scenes.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueHint};
use mllmseg::scenes::{ImageFormat, SynthOptions, World, write_dataset};

use super::CliError;
use super::terminal::{note, print_result, progress_bar};

/// Draw images of coloured shapes with expressions, in the layout of RefCOCO and gRefCOCO
///
/// Every expression is true and unambiguous, and the same seed gives the same files.
#[derive(Debug, Args)]
pub struct SynthArgs {
    /// The output folder; it must be new or empty
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: PathBuf,
    /// Images in each of val, testA and testB
    #[arg(long, value_name = "N")]
    images: u64,
    /// Images in train
    #[arg(long, value_name = "M", default_value_t = 0)]
    train_images: u64,
    /// The random seed
    #[arg(long, value_name = "S")]
    seed: u64,
    /// The format of the images: jpeg or png
    #[arg(long, default_value = "jpeg")]
    format: ImageFormat,
    /// The world of the scenes
    #[arg(long, default_value = "small", value_parser = world_parser())]
    world: World,
}

/// The worlds by name, with their descriptions in `--help`.
fn world_parser() -> impl TypedValueParser<Value = World> {
    let value = |world: World| PossibleValue::new(world.name).help(world.description);
    PossibleValuesParser::new(World::all().map(value)).try_map(|name| name.parse::<World>())
}

/// Writes the data set, and prints what is in it and the next command.
pub fn run(arguments: SynthArgs) -> Result<(), CliError> {
    let template = "[{wide_bar}] {pos}/{len} images, {per_sec}, {eta} left";
    let bar = progress_bar(template, 0);
    let SynthArgs { out, images, train_images, seed, format, world } = arguments;
    let options = SynthOptions { out, images, train_images, seed, format, world };
    let report = write_dataset(&options, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    let out = options.out.display();
    print_result(format!("{} images with {} objects are in {out}", report.images, report.objects))?;
    print_result(format!("refcoco:  {} expressions", report.refcoco))?;
    print_result(format!(
        "grefcoco: {} expressions; {} have one target, {} several, {} none",
        report.grefcoco, report.single, report.plural, report.absent
    ))?;
    note(format!(
        "Next: mllmseg eval --data {out} --dataset grefcoco --split val --checkpoint DIR"
    ));
    Ok(())
}
