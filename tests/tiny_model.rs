//! The model of `assets/tiny/` on scenes that no training drew.

use std::path::{Path, PathBuf};

use mllmseg::data::refer::{Dataset, Split};
use mllmseg::data::scenes::{PictureFormat, SynthOptions, World, write_dataset};
use mllmseg::evaluate::{Benchmark, BenchmarkOptions, Numbers, RunOptions, Watch, evaluate};
use mllmseg::{Segmenter, device};

/// Another seed than those of the lessons and of the card.
const SEED: u64 = 31;
const IMAGES: u64 = 40;

struct Quiet;

impl Watch for Quiet {
    fn begin(&mut self, _done: usize, _total: usize) {}
    fn advance(&mut self, _done: usize, _ciou: Option<f64>) {}
}

/// The tiny model's numbers on the validation part of some scenes.
fn numbers(scenes: &Path, dataset: Dataset) -> Numbers {
    let checkpoint = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/tiny");
    let segmenter = Segmenter::load(&checkpoint, &device::cpu()).unwrap();
    let benchmark = Benchmark::open(scenes, BenchmarkOptions::new(dataset, Split::Val)).unwrap();
    let selection = benchmark.selection().unwrap();
    let options = RunOptions { checkpoint: &checkpoint, predictions: None, resume: false };
    evaluate(&segmenter, &selection, options, &mut Quiet).unwrap().summary.numbers
}

fn scenes(out: PathBuf) -> PathBuf {
    let (world, format) = (World::small(), PictureFormat::Jpeg);
    let options = SynthOptions { out, images: IMAGES, train_images: 0, seed: SEED, format, world };
    write_dataset(&options, &mut |_, _| {}).unwrap();
    options.out
}

/// Some points below its card, as seeds differ.
#[test]
fn new_scenes_are_segmented() {
    let folder = tempfile::tempdir().unwrap();
    let scenes = scenes(folder.path().join("scenes"));
    for (dataset, bars) in [
        (
            Dataset::GRefCoco,
            &[("giou", 90.0), ("ciou", 85.0), ("n_acc", 94.0), ("t_acc", 98.0)][..],
        ),
        (Dataset::RefCoco, &[("ciou", 88.0), ("prec@0.5", 95.0), ("rec_prec@0.5", 92.0)]),
    ] {
        let numbers = numbers(&scenes, dataset);
        println!("{dataset}: {numbers:?}");
        for &(name, bar) in bars {
            let value = numbers.get(name).unwrap();
            assert!(value >= bar, "{dataset}: {name} is {value:.1}, at least {bar} expected");
        }
    }
}
