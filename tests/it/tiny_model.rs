//! The model of `assets/tiny/` on scenes that no training drew.

use mllmseg::data::refer::Dataset;
use mllmseg::scenes::World;
use mllmseg::{Segmenter, device};
use xtask::tiny_model::{measure, synth};

use super::support::root;

/// Another seed than those of the stages and of the card.
const SEED: u64 = 31;
const IMAGES: u64 = 40;

/// Some points below its card, as seeds differ.
#[test]
fn new_scenes_are_segmented() {
    let folder = tempfile::tempdir().unwrap();
    let scenes = folder.path().join("scenes");
    synth(&scenes, World::small(), (IMAGES, 0), SEED).unwrap();
    let checkpoint = root().join("assets/tiny");
    let segmenter = Segmenter::load(&checkpoint, &device::cpu()).unwrap();
    for (dataset, bars) in [
        (
            Dataset::GRefCoco,
            &[("giou", 90.0), ("ciou", 85.0), ("n_acc", 94.0), ("t_acc", 98.0)][..],
        ),
        (Dataset::RefCoco, &[("ciou", 88.0), ("prec@0.5", 95.0), ("rec_prec@0.5", 92.0)]),
    ] {
        let numbers = measure(&segmenter, &scenes, dataset).unwrap().summary.numbers;
        println!("{dataset}: {numbers:?}");
        for &(name, bar) in bars {
            let value = numbers.get(name).unwrap();
            assert!(value >= bar, "{dataset}: {name} is {value:.1}, at least {bar} expected");
        }
    }
}
