//! Drawn scenes: what is said is true, words give nothing away, and every machine draws the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use mllmseg_data::mask::Bitmap;
use mllmseg_data::refer::{Dataset, ReferDataset, Split};
use mllmseg_data::scenes::checker::check;
use mllmseg_data::scenes::*;
use rayon::prelude::*;

/// Scenes with what is said of them.
fn said(world: &World, seed: u64, scenes: u64) -> Vec<(Scene, Vec<SceneExpression>)> {
    let one = |number| {
        let scene = generate(world, seed, Part::Val.index(number));
        let said = expressions(world, &scene);
        (scene, said)
    };
    (0..scenes).into_par_iter().map(one).collect()
}

#[test]
fn the_checker_agrees_with_every_expression() {
    for (world, scenes) in [(World::small(), 2400), (World::full(), 1200), (World::places(), 600)] {
        let words: BTreeSet<_> = world.vocabulary().into_iter().collect();
        let found = said(&world, 11, scenes);
        let counts = found.par_iter().map(|(scene, said)| {
            let singles = single_expressions(&world, scene);
            for said in said.iter().chain(&singles) {
                let text = &said.text;
                assert_eq!(check(text, scene).as_ref(), Ok(&said.targets), "{text} {scene:?}");
                assert!(text.split(' ').all(|word| words.contains(word)), "{text}");
            }
            let texts: BTreeSet<_> = said.iter().map(|said| &said.text).collect();
            assert_eq!(texts.len(), said.len(), "something is said twice");
            assert!(singles.iter().all(|said| said.targets.len() == 1));
            assert!(singles.len() >= 3, "{singles:?}");
            said.len() + singles.len()
        });
        let count: usize = counts.sum();
        assert!(count > 20_000 * scenes as usize / 2400, "{count} expressions");
    }
}

/// The checker is not of one mind with the writer by saying yes to everything.
#[test]
fn the_checker_refuses_wrong_targets() {
    let (mut right, mut wrong) = (0, 0);
    for (scene, said) in said(&World::small(), 12, 300) {
        for (index, said) in said.iter().enumerate() {
            // What is true of this scene, asked of another.
            let other = generate(&World::small(), 13, index as u64);
            match check(&said.text, &other) {
                Ok(targets) if targets == said.targets => right += 1,
                _ => wrong += 1,
            }
            assert!(check(&format!("{} twice", said.text), &scene).is_err());
        }
    }
    assert!(wrong > right, "{right} right by chance, {wrong} wrong");
}

/// Word counts and length, as a logistic regression and nothing else sees them.
struct Words {
    index: BTreeMap<&'static str, usize>,
    width: usize,
}

const LENGTHS: usize = 12;

impl Words {
    fn of(world: &World) -> Self {
        let index: BTreeMap<_, _> =
            world.vocabulary().into_iter().enumerate().map(|(at, word)| (word, at)).collect();
        let width = index.len() + LENGTHS + 1;
        Self { index, width }
    }

    /// The features that are not 0, with their values.
    fn features(&self, text: &str) -> Vec<(usize, f64)> {
        let mut counts: BTreeMap<usize, f64> = BTreeMap::from([(self.width - 1, 1.0)]);
        for word in text.split(' ') {
            *counts.entry(self.index[word]).or_default() += 1.0;
        }
        let length = text.split(' ').count().min(LENGTHS) - 1;
        counts.insert(self.index.len() + length, 1.0);
        counts.into_iter().collect()
    }
}

/// Fits a logistic regression by stochastic gradient descent, and returns its accuracy on the rest
/// beside that of the majority guess.
fn words_only(world: &World, samples: &[(&str, bool)], fitted: usize) -> [f64; 2] {
    let words = Words::of(world);
    let samples: Vec<_> =
        samples.iter().map(|(text, label)| (words.features(text), *label)).collect();
    let (fit, test) = samples.split_at(fitted);
    let mut weights = vec![0.0; words.width];
    let score = |weights: &[f64], features: &[(usize, f64)]| -> f64 {
        features.iter().map(|&(at, value)| weights[at] * value).sum()
    };
    for epoch in 0..30 {
        let rate = 0.05 / (1.0 + f64::from(epoch));
        for (features, label) in fit {
            let guess = 1.0 / (1.0 + (-score(&weights, features)).exp());
            let error = f64::from(u8::from(*label)) - guess;
            features.iter().for_each(|&(at, value)| weights[at] += rate * error * value);
        }
    }
    let right = test.iter().filter(|(features, label)| (score(&weights, features) > 0.0) == *label);
    let yes = test.iter().filter(|(_, label)| *label).count() as f64 / test.len() as f64;
    [right.count() as f64 / test.len() as f64, yes.max(1.0 - yes)]
}

#[test]
fn words_do_not_tell_whether_there_is_a_target() {
    for (world, scenes) in [(World::small(), 4000), (World::full(), 2700)] {
        let found = said(&world, 21, scenes);
        let all: Vec<_> = found.iter().flat_map(|(_, said)| said).collect();
        let samples: Vec<_> =
            all.iter().map(|said| (said.text.as_str(), said.targets.is_empty())).collect();
        let [accuracy, majority] = words_only(&world, &samples, 20_000);
        println!("{world}: absent by words {accuracy:.4}, by majority {majority:.4}");
        assert!(accuracy < majority + 0.02, "{accuracy} against {majority}");

        // One target or several, in the forms that leave it open.
        let open = all.iter().filter(|said| said.text.starts_with("all the"));
        let open = open.filter(|said| !said.targets.is_empty());
        let samples: Vec<_> =
            open.map(|said| (said.text.as_str(), said.targets.len() > 1)).collect();
        let [accuracy, majority] = words_only(&world, &samples, samples.len() * 2 / 3);
        println!("{world}: several by words {accuracy:.4}, by majority {majority:.4}");
        assert!(accuracy < majority + 0.02, "{accuracy} against {majority}");
        check_shares(&world, &all);
    }
}

/// Of every form the same share refers to nothing, and every kind of expression is there.
fn check_shares(world: &World, all: &[&SceneExpression]) {
    let mut forms: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    let mut kinds: BTreeMap<_, [usize; 3]> = BTreeMap::new();
    for said in all {
        let targets = said.targets.len().min(2);
        forms.entry(format!("{:?}", said.form)).or_default()[targets] += 1;
        kinds.entry(said.form.kind()).or_default()[targets] += 1;
    }
    assert_eq!(forms.len(), world.forms.len(), "some form is never said");
    for (form, counts) in &forms {
        let total: usize = counts.iter().sum();
        // Five times the spread of a share of 0.35.
        let spread = 5.0 * (0.35f64 * 0.65 / total as f64).sqrt();
        let absent = counts[0] as f64 / total as f64;
        assert!((absent - 0.35).abs() < spread, "{form}: {absent} of {total} absent");
    }
    println!("{world}: {} expressions; absent, single, plural: {kinds:?}", all.len());
    let share = |targets: usize| {
        kinds.values().map(|counts| counts[targets]).sum::<usize>() as f64 / all.len() as f64
    };
    assert!(share(1) > 0.40 && share(2) > 0.15, "{} single, {} plural", share(1), share(2));
}

#[test]
fn every_machine_draws_the_same() {
    let mut crcs = Vec::new();
    for world in [World::small(), World::full()] {
        for number in [0, 1, 77] {
            let scene = generate(&world, 5, Part::TestA.index(number));
            let said = expressions(&world, &scene);
            assert_eq!(scene, generate(&world, 5, Part::TestA.index(number)));
            assert_eq!(said, expressions(&world, &scene));
            let words: Vec<_> = said.iter().map(|said| said.text.as_str()).collect();
            crcs.push([crc(&scene.draw()), crc(scene.owners()), crc(words.join("\n").as_bytes())]);
        }
    }
    let known = [
        [2771138475, 1711143476, 4260276229],
        [3745827320, 3343429762, 1959672856],
        [3666798332, 3239807631, 3304857279],
        [856862825, 43046930, 1768680422],
        [1634451788, 2081973596, 1677397860],
        [2362575452, 3392947801, 1606662962],
    ];
    assert_eq!(crcs, known, "picture, owners of pixels, expressions: {crcs:?}");
}

/// CRC-32 of zip and PNG, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, &byte: &u8| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            crc >> 1 ^ (0xEDB8_8320 & 0u32.wrapping_sub(crc & 1))
        })
    };
    !bytes.iter().fold(!0, step)
}

fn options(out: std::path::PathBuf, format: PictureFormat) -> SynthOptions {
    SynthOptions { out, images: 20, train_images: 100, seed: 3, format, world: World::small() }
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    for format in [PictureFormat::Png, PictureFormat::Jpeg] {
        let options = options(folder.path().join(format!("{format:?}")), format);
        let mut steps = Vec::new();
        let report = write_dataset(&options, &mut |done, total| steps.push((done, total))).unwrap();
        assert_eq!(steps.last(), Some(&(160, 160)));
        assert_eq!((report.images, report.refused), (160, 0));
        let counts = [Dataset::RefCoco, Dataset::GRefCoco].map(|dataset| {
            let read = ReferDataset::open(&options.out, dataset, None).unwrap();
            let parts = [(Split::Train, Part::Train), (Split::Val, Part::Val)];
            let tests = [(Split::TestA, Part::TestA), (Split::TestB, Part::TestB)];
            let all = parts.into_iter().chain(tests);
            all.map(|(split, part)| check_split(&read, split, part, &options)).sum::<u64>()
        });
        assert_eq!(counts, [report.refcoco, report.grefcoco]);
        assert_eq!(report.grefcoco, report.absent + report.single + report.plural);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        fs::remove_dir_all(&options.out).unwrap();
    }
}

/// Compares a split on disk with the scenes that it was made from; returns its expressions.
fn check_split(read: &ReferDataset, split: Split, part: Part, options: &SynthOptions) -> u64 {
    let items = read.items(split).unwrap();
    let wanted = if part == Part::Train { options.train_images } else { options.images };
    assert_eq!(items.len() as u64, wanted, "{split}: a picture without expressions");
    let mut count = 0;
    for (number, item) in (0..).zip(&items) {
        let scene = generate(&options.world, options.seed, part.index(number));
        let picture = read.read_image(item.image).unwrap();
        if options.format == PictureFormat::Png {
            assert_eq!(picture, scene.draw());
        }
        let said = match read.dataset() {
            Dataset::RefCoco => single_expressions(&options.world, &scene),
            _ => expressions(&options.world, &scene),
        };
        assert_eq!(item.expressions.len(), said.len());
        for found in &item.expressions {
            let said = said.iter().find(|said| said.text == found.text).unwrap();
            let mut mask = Bitmap::new(scene.height() as usize, scene.width() as usize).unwrap();
            let annotations = read.annotations(found.targets).unwrap();
            assert_eq!(annotations.len(), said.targets.len());
            for (annotation, &target) in annotations.iter().zip(&said.targets) {
                let id = std::slice::from_ref(&annotation.id);
                let one = read.mask(item.image, id).unwrap().unwrap();
                assert_eq!(one, scene.mask(&[target]), "the visible pixels");
                let [left, top, right, bottom] = one.bounding_box().unwrap().map(f64::from);
                assert_eq!(annotation.bbox, [left, top, right - left, bottom - top]);
                let name = read.instances().category(annotation.category_id);
                assert_eq!(name, Some(scene.objects()[target].shape.word()));
                mask = mask.union(&one).unwrap();
            }
            assert_eq!(mask, scene.mask(&said.targets));
            count += 1;
        }
    }
    count
}

#[test]
fn a_place_that_is_taken_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("taken");
    fs::create_dir(&taken).unwrap();
    fs::write(taken.join("mine"), b"x").unwrap();
    let mut quiet = |_, _| {};
    let error = write_dataset(&options(taken.clone(), PictureFormat::Jpeg), &mut quiet);
    assert!(matches!(error, Err(ScenesError::NotEmpty { .. })), "{error:?}");
    assert_eq!(fs::read(taken.join("mine")).unwrap(), b"x");
    let file = folder.path().join("file");
    fs::write(&file, b"x").unwrap();
    assert!(write_dataset(&options(file.clone(), PictureFormat::Jpeg), &mut quiet).is_err());
    assert_eq!(fs::read(&file).unwrap(), b"x");
    let none = SynthOptions { images: 0, train_images: 0, ..options(file, PictureFormat::Png) };
    assert!(matches!(write_dataset(&none, &mut quiet), Err(ScenesError::PictureCount { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left");

    // An empty folder is as good as none.
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let few = SynthOptions { images: 1, train_images: 0, ..options(empty, PictureFormat::Png) };
    assert_eq!(write_dataset(&few, &mut quiet).unwrap().images, 3);
}

#[test]
fn no_picture_is_in_two_parts() {
    let world = World::small();
    let pictures: BTreeSet<Vec<u8>> = Part::ALL
        .into_iter()
        .flat_map(|part| (0..200).map(move |number| part.index(number)))
        .map(|index| generate(&world, 9, index).draw().into_raw())
        .collect();
    assert_eq!(pictures.len(), 800);
}

/// Dials that nobody should turn so far still end in a scene.
#[test]
fn odd_worlds_draw_something() {
    let crowded = World { diameters: [90.0; 3], objects: 9..=40, ..World::full() };
    let empty = World {
        shapes: vec![],
        colours: vec![],
        sizes: vec![],
        pictures: vec![[0, 5000]],
        objects: 0..=0,
        forms: vec![],
        ..World::small()
    };
    for world in [crowded, empty] {
        let scene = generate(&world, 1, 1);
        assert!(!scene.objects().is_empty());
        assert_eq!(scene.draw().dimensions(), (scene.width(), scene.height()));
        expressions(&world, &scene);
        single_expressions(&world, &scene);
    }
}
