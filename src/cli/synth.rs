//! `mllmseg synth`: a data set of drawn scenes.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use indicatif::{ProgressBar, ProgressStyle};
use mllmseg::data::scenes::{PictureFormat, SynthOptions, World, write_dataset};

use super::CliError;

/// Draw pictures of coloured shapes with expressions, in the layout of RefCOCO and gRefCOCO
///
/// Every expression is true and unambiguous, and the same seed gives the same files.
#[derive(Debug, Args)]
pub struct SynthArgs {
    /// The folder to make; refused if there is something in it
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: PathBuf,
    /// Pictures in each of val, testA and testB
    #[arg(long, value_name = "N")]
    images: u64,
    /// Pictures in train
    #[arg(long, value_name = "M", default_value_t = 0)]
    train_images: u64,
    /// The seed of everything that is drawn
    #[arg(long, value_name = "S")]
    seed: u64,
    /// jpeg or png
    #[arg(long, default_value = "jpeg")]
    format: PictureFormat,
    /// small (5 shapes, 6 colours, 2 sizes), shapes (the same, of which little is said but shapes), places
    /// (the same, of which most is said by place and order) or full (10, 8, 3; more objects, which hide
    /// each other more)
    #[arg(long, default_value = "small")]
    world: World,
}

/// Writes the data set, and says what is in it and what to type next.
///
/// # Errors
/// See [`write_dataset`].
pub fn run(arguments: SynthArgs) -> Result<(), CliError> {
    let template = "[{wide_bar}] {pos}/{len} pictures, {per_sec}, {eta} left";
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(0).with_style(style);
    let options = SynthOptions {
        out: arguments.out,
        images: arguments.images,
        train_images: arguments.train_images,
        seed: arguments.seed,
        format: arguments.format,
        world: arguments.world,
    };
    let report = write_dataset(&options, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    let out = options.out.display();
    println!("{} pictures with {} objects are in {out}", report.images, report.objects);
    println!("refcoco:  {} expressions", report.refcoco);
    println!(
        "grefcoco: {} expressions; {} have one target, {} several, {} none",
        report.grefcoco, report.single, report.plural, report.absent
    );
    println!("Next: mllmseg eval --data {out} --dataset grefcoco --split val --checkpoint DIR");
    Ok(())
}
