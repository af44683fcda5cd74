//! Evaluation: a checkpoint's numbers on a data set, expression by expression and in all.
//!
//!     cargo run --release --example evaluate_dataset -- [CHECKPOINT [ROOT]]

use std::error::Error;
use std::path::PathBuf;

use mllmseg::data::refer::{Dataset, Split};
use mllmseg::device::DeviceChoice;
use mllmseg::evaluate::{Benchmark, BenchmarkOptions, RunOptions, evaluate};
use mllmseg::scenes::{ImageFormat, SynthOptions, World, write_dataset};
use mllmseg::{Segmenter, tiny};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().map_or_else(tiny::folder, |folder| Ok(PathBuf::from(folder)))?;
    let segmenter = Segmenter::load(model, &DeviceChoice::Auto.select()?)?;
    let folder = tempfile::tempdir()?;
    let root = match arguments.next() {
        Some(root) => PathBuf::from(root), // has refcoco/ and images/
        None => {
            let (out, world) = (folder.path().join("data"), World::small());
            let options = SynthOptions {
                out: out.clone(),
                images: 4,
                train_images: 0,
                seed: 11,
                format: ImageFormat::Png,
                world,
            };
            write_dataset(&options, &mut |_, _| {})?;
            out
        }
    };

    let benchmark = Benchmark::open(&root, BenchmarkOptions::new(Dataset::RefCoco, Split::Val))?;
    let selection = benchmark.selection()?;
    // Images are decoded ahead on all cores. With a predictions file, a killed run can be resumed.
    let evaluation = evaluate(&segmenter, &selection, RunOptions::default(), &mut |_| {})?;

    for outcome in &evaluation.outcomes {
        let (item, expression) = selection.expression(outcome.place);
        println!("{}: {}: IoU {:.3}", item.image.file_name, expression.text, outcome.iou);
    }
    println!("{} expressions", evaluation.summary.numbers.n());
    for (name, percent) in evaluation.summary.numbers.all() {
        println!("{name}: {:.2}", percent.ok_or("no expression")?);
    }
    Ok(())
}
