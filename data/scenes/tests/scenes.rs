//! Drawn scenes: expressions are true, words reveal nothing, and every machine draws the same.

mod checker;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use mllmseg_data::files::FileError;
use mllmseg_data::refer::{Dataset, ReferDataset, Split};
use mllmseg_scenes::*;
use rayon::prelude::*;

use checker::{CheckError, Eye, check};

fn world(name: &str) -> World {
    name.parse().unwrap()
}

/// Scenes with their expressions.
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
    let worlds = [("small", 2400, 3), ("full", 1200, 3), ("places", 600, 3), ("shapes", 300, 0)];
    for (name, scenes, least_singles) in worlds {
        let world = world(name);
        let words = world.vocabulary();
        let found = said(&world, 11, scenes);
        let counts = found.par_iter().map(|(scene, said)| {
            let singles = single_expressions(&world, scene, said);
            let eye = Eye::look(scene).unwrap();
            for said in said.iter().chain(&singles) {
                let text = &said.text;
                assert_eq!(check(text, &eye).as_ref(), Ok(&said.targets), "{text} {scene:?}");
                assert!(text.split(' ').all(|word| words.contains(word)), "{text}");
            }
            let texts: BTreeSet<_> = said.iter().map(|said| &said.text).collect();
            assert_eq!(texts.len(), said.len(), "something is said twice");
            assert!(singles.iter().all(|said| said.targets.len() == 1));
            assert!(singles.len() >= least_singles, "{singles:?}");
            said.len() + singles.len()
        });
        let count: usize = counts.sum();
        assert!(count > 20_000 * scenes as usize / 2400, "{count} expressions");
    }
}

/// As they are drawn, and as JPEG files of the lowest quality that training has.
#[test]
fn drawn_scenes_are_recognised_and_photographs_are_not() {
    let alarms = World::all().map(|world| {
        let is_missed = |&number: &u64| {
            let image = generate(&world, 21, Part::Val.index(number)).draw();
            let jpeg = mllmseg_data::image::jpeg_recompress(&image, 75).unwrap();
            !may_be_drawn(&image) || !may_be_drawn(&jpeg)
        };
        (0..125).into_par_iter().filter(is_missed).count()
    });
    assert_eq!(alarms, [0; 4], "of 125 in each world");
    let cat = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/cat.jpg");
    let cat = mllmseg_data::image::read_image(cat).unwrap();
    assert!(!may_be_drawn(&cat));
    let part = image::imageops::crop_imm(&cat, 100, 50, 200, 200).to_image();
    assert!(!may_be_drawn(&part));
}

/// The checker does not agree with everything.
#[test]
fn the_checker_refuses_wrong_targets() {
    let (mut right, mut wrong) = (0, 0);
    for (scene, said) in said(&World::small(), 12, 300) {
        let eye = Eye::look(&scene).unwrap();
        for (index, said) in said.iter().enumerate() {
            // An expression of this scene, checked on another.
            let other = generate(&World::small(), 13, index as u64);
            match check(&said.text, &Eye::look(&other).unwrap()) {
                Ok(targets) if targets == said.targets => right += 1,
                _ => wrong += 1,
            }
            assert!(check(&format!("{} twice", said.text), &eye).is_err());
        }
    }
    assert!(wrong > right, "{right} right by chance, {wrong} wrong");
}

#[test]
fn the_checker_refuses_other_words() {
    let scene = generate(&World::small(), 1, 0);
    let eye = Eye::look(&scene).unwrap();
    let wrong = "| |the|all|all the|all the star|the stars|star|the  star|the red|\
                 the red red star|the star red|the star and|the star and the|the second star|\
                 the second star from the|the star on the top|The star|the star above|\
                 the star left the ring|the leftmost|the star.|the ☆";
    for text in wrong.split('|') {
        let found = check(text, &eye);
        assert!(matches!(found, Err(CheckError::Grammar)), "`{text}`: {found:?}");
    }
    assert!(check(&"the ".repeat(100_000), &eye).is_err());
}

/// Fits a logistic regression on word counts and length by stochastic gradient descent. Returns its
/// accuracy on the other samples and that of the majority guess.
fn words_only(samples: &[(&str, bool)], fitted: usize) -> [f64; 2] {
    let mut index = BTreeMap::new();
    let samples = samples.iter().map(|(text, label)| {
        let length = format!("{} words", text.split(' ').count());
        let words = text.split(' ').map(str::to_owned).chain([length, "bias".to_owned()]);
        let mut feature = |word| {
            let next = index.len();
            *index.entry(word).or_insert(next)
        };
        (words.map(&mut feature).collect(), *label)
    });
    let samples: Vec<(Vec<usize>, bool)> = samples.collect();
    let (fit, test) = samples.split_at(fitted);
    let mut weights = vec![0.0; index.len()];
    let score = |weights: &[f64], features: &[usize]| -> f64 {
        features.iter().map(|&at| weights[at]).sum()
    };
    for epoch in 0..30 {
        let rate = 0.05 / (1.0 + f64::from(epoch));
        for (features, label) in fit {
            let guess = 1.0 / (1.0 + (-score(&weights, features)).exp());
            let error = f64::from(u8::from(*label)) - guess;
            features.iter().for_each(|&at| weights[at] += rate * error);
        }
    }
    let right = test.iter().filter(|(features, label)| (score(&weights, features) > 0.0) == *label);
    let yes = test.iter().filter(|(_, label)| *label).count() as f64 / test.len() as f64;
    [right.count() as f64 / test.len() as f64, yes.max(1.0 - yes)]
}

#[test]
fn words_do_not_tell_whether_there_is_a_target() {
    for (name, scenes) in [("small", 4000), ("full", 2700)] {
        let world = world(name);
        let found = said(&world, 21, scenes);
        let all: Vec<_> = found.iter().flat_map(|(_, said)| said).collect();
        let samples: Vec<_> =
            all.iter().map(|said| (said.text.as_str(), said.targets.is_empty())).collect();
        let [accuracy, majority] = words_only(&samples, 20_000);
        println!("{world}: absent by words {accuracy:.4}, by majority {majority:.4}");
        assert!(accuracy < majority + 0.02, "{accuracy} against {majority}");

        // One target or several, in the forms that leave it open.
        let open = all.iter().filter(|said| said.text.starts_with("all the"));
        let open = open.filter(|said| !said.targets.is_empty());
        let samples: Vec<_> =
            open.map(|said| (said.text.as_str(), said.targets.len() > 1)).collect();
        let [accuracy, majority] = words_only(&samples, samples.len() * 2 / 3);
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
        kinds.entry(said.form.pattern.kind()).or_default()[targets] += 1;
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
    for world in [world("small"), world("full")] {
        for number in [0, 1, 77] {
            let scene = generate(&world, 5, Part::TestA.index(number));
            let said = expressions(&world, &scene);
            assert_eq!(scene, generate(&world, 5, Part::TestA.index(number)));
            assert_eq!(said, expressions(&world, &scene));
            let words: Vec<_> = said.iter().map(|said| said.text.as_str()).collect();
            let (image, words) = (scene.draw(), words.join("\n"));
            crcs.push([&image, scene.owners(), words.as_bytes()].map(crc32fast::hash));
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
    assert_eq!(crcs, known, "image, owners of pixels, expressions: {crcs:?}");
}

fn options(out: std::path::PathBuf, format: ImageFormat) -> SynthOptions {
    SynthOptions { out, images: 20, train_images: 100, seed: 3, format, world: World::small() }
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    for format in [ImageFormat::Png, ImageFormat::Jpeg] {
        let options = options(folder.path().join(format!("{format:?}")), format);
        let mut steps = Vec::new();
        let report = write_dataset(&options, &mut |done, total| steps.push((done, total))).unwrap();
        assert_eq!(steps.last(), Some(&(160, 160)));
        assert_eq!(report.images, 160);
        let counts = [Dataset::RefCoco, Dataset::GRefCoco].map(|dataset| {
            let read = ReferDataset::open(&options.out, dataset, None).unwrap();
            let splits = [Split::Train, Split::Val, Split::TestA, Split::TestB].into_iter();
            let parts = splits.zip(Part::ALL);
            parts.map(|(split, &part)| check_split(&read, split, part, &options)).sum::<u64>()
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
    assert_eq!(items.len() as u64, wanted, "{split}: an image without expressions");
    let mut count = 0;
    for (number, item) in (0..).zip(&items) {
        let scene = generate(&options.world, options.seed, part.index(number));
        let image = read.read_image(item.image).unwrap();
        if options.format == ImageFormat::Png {
            assert_eq!(image, scene.draw());
        }
        let all = expressions(&options.world, &scene);
        let said = match read.dataset() {
            Dataset::RefCoco => single_expressions(&options.world, &scene, &all),
            _ => all,
        };
        assert_eq!(item.expressions.len(), said.len());
        for found in &item.expressions {
            let said = said.iter().find(|said| said.text == found.text).unwrap();
            let annotations = read.annotations(found.targets).unwrap();
            assert_eq!(annotations.len(), said.targets.len());
            for (annotation, &target) in annotations.iter().zip(&said.targets) {
                let id = std::slice::from_ref(&annotation.id);
                let mask = read.mask(item.image, id).unwrap().unwrap();
                assert_eq!(mask, scene.mask(&[target]), "the visible pixels");
                let [left, top, right, bottom] = mask.bounding_box().unwrap().map(f64::from);
                assert_eq!(annotation.bbox, Some([left, top, right - left, bottom - top]));
                let name = read.instances().category(annotation.category_id.unwrap());
                assert_eq!(name, Some(scene.objects()[target].shape.word()));
            }
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
    let error = write_dataset(&options(taken.clone(), ImageFormat::Jpeg), &mut quiet);
    assert!(matches!(error, Err(ScenesError::File(FileError::InTheWay { .. }))), "{error:?}");
    assert_eq!(fs::read(taken.join("mine")).unwrap(), b"x");
    let out = folder.path().join("out");
    let none = SynthOptions { images: 0, train_images: 0, ..options(out, ImageFormat::Png) };
    assert!(matches!(write_dataset(&none, &mut quiet), Err(ScenesError::ImageCount { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left");
}

#[test]
fn no_image_is_in_two_parts() {
    let world = World::small();
    let images: BTreeSet<Vec<u8>> = Part::ALL
        .iter()
        .flat_map(|part| (0..200).map(move |number| part.index(number)))
        .map(|index| generate(&world, 9, index).draw().into_raw())
        .collect();
    assert_eq!(images.len(), 800);
}

/// Extreme settings still give a scene.
#[test]
fn odd_worlds_draw_something() {
    let crowded = World { diameters: [90.0; 3], objects: [9, 40], ..world("full") };
    let empty = World {
        shapes: vec![],
        colours: vec![],
        sizes: vec![],
        image_sizes: vec![[0, 5000]],
        objects: [0, 0],
        forms: vec![],
        ..World::small()
    };
    for world in [crowded, empty] {
        let scene = generate(&world, 1, 1);
        assert!(!scene.objects().is_empty());
        assert_eq!(scene.draw().dimensions(), (scene.width(), scene.height()));
        single_expressions(&world, &scene, &expressions(&world, &scene));
    }
}
