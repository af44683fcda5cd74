//! Every example runs, and prints what it promises.
//!
//! `cargo test` builds the examples before the tests and leaves them beside this one's folder.

use std::path::Path;
use std::process::Command;

use super::support::{self, assert_says, errors, failure, root};

/// A built example, to be run in a folder.
fn example(name: &str, folder: &Path) -> Command {
    let program = std::env::current_exe().unwrap(); // PROFILE/deps/it-HASH
    let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let path = program.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(path.exists(), "{}: not built; `cargo test --release` builds it", path.display());
    let mut command = Command::new(path);
    command.current_dir(folder).env("XDG_CACHE_HOME", folder); // where the tiny model is unpacked
    command
}

/// What an example prints when nothing is asked of it.
fn printed(name: &str) -> String {
    support::printed(&mut example(name, tempfile::tempdir().unwrap().path()))
}

fn assert_lines(text: &str, lines: &[&str]) {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let found: Vec<_> = text.lines().map(words).collect();
    for line in lines {
        assert!(found.iter().any(|found| found == line), "expected {line:?} in:\n{text}");
    }
}

#[test]
fn every_example_is_tested() {
    let here = include_str!("examples.rs");
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if path.extension().is_some_and(|ending| ending == "rs") {
            assert!(here.contains(&format!("\"{name}\"")), "{name} has no test here");
        }
    }
}

#[test]
fn one_picture_gives_an_overlay() {
    let folder = tempfile::tempdir().unwrap();
    support::printed(&mut example("segment_image", folder.path()));
    let overlay = folder.path().join("overlay.png");
    assert!(image::open(&overlay).unwrap().width() >= 640);
    std::fs::remove_file(&overlay).unwrap();

    let files = ["assets/tiny", "examples/cat.jpg"].map(|file| root().join(file));
    support::printed(example("segment_image", folder.path()).args(files).arg("the cat"));
    let picture = image::open(&overlay).unwrap();
    assert!(picture.width() == 902 && picture.height() > 600, "twice 451 x 300, below 640");

    let mut command = example("segment_image", folder.path());
    assert_says(failure(command.arg("no-such-model")), &["no-such-model"]);
}

#[test]
fn the_image_is_timed_once_and_every_expression_by_itself() {
    let text = printed("many_expressions");
    let lines: Vec<_> = text.lines().collect();
    let [image, expressions @ .., all] = lines.as_slice() else { panic!("{text}") };
    assert!(image.starts_with("the image, once: "), "{text}");
    assert!(expressions.len() > 1, "{text}");
    let verdict = |line: &&str| line.contains(", score ") || line.ends_with(", not in the picture");
    assert!(expressions.iter().all(verdict), "{text}");
    assert!(all.starts_with(&format!("all {} at once: ", expressions.len())), "{text}");
}

/// Pixels as pycocotools 2.0.11 counts the square, and NumPy the disc.
#[test]
fn own_data_is_read_back() {
    let text = printed("own_data");
    for (line, pixels) in [("the red disc: 697", 3), ("a box around the blue: 900", 3)] {
        let line = format!("  {line} pixels");
        assert_eq!(text.lines().filter(|found| *found == line).count(), pixels, "{text}");
    }
    assert_lines(&text, &["the green disc: no target", "pictures/2.png (64 x 64)"]);
}

/// The paper's Table 4 (D = 4096) less 2 x 3200 x 1024 weights at the width of the 1B model, 896;
/// `vit` has only one of the two layers that read it.
#[test]
fn the_decoder_has_the_shapes_of_figure_3() {
    let text = printed("decoder_shapes");
    assert_lines(
        &text,
        &[
            "Variant vit (14279270 parameters)",
            "Variant dsff (27831942 parameters)",
            "T_img1, details [1, 1024, 1024]",
            "T_img2, semantics [1, 256, 896]",
            "T_seg0 [2, 1, 896]",
            "T_img3, Eq. 5 [1, 256, 1024]",
            "T_vl, Eq. 9 [1, 1024, 1024]",
            "T_img4, Eq. 12 [1, 1024, 1024]",
            "T_ds0, Eq. 13 [1, 1024, 1024]",
            "T_seg1, Eq. 5 [2, 1, 1024]",
            "T_ds1, Eq. 7 [2, 1024, 1024]",
            "convolution 3x3, Eq. 8 [2, 196, 32, 32]",
            "pixel shuffle, Eq. 8 [2, 1, 448, 448]",
            "masks, Eq. 8 [2, 448, 448]",
        ],
    );
}

/// Few steps cannot teach much: the loss must fall, and the model be a checkpoint.
#[test]
fn a_training_lowers_its_loss() {
    let folder = tempfile::tempdir().unwrap();
    let text = support::printed(example("train_tiny", folder.path()).arg("8"));
    assert_lines(&text, &["8 steps; the model is a checkpoint folder:", "model.safetensors"]);
    let table: Vec<_> = text.lines().skip(1).take(3).map(|line| line.split(',')).collect();
    let [names, first, last] = table.try_into().ok().unwrap();
    let column = names.clone().position(|name| name == "loss").unwrap();
    let loss = |mut row: std::str::Split<char>| row.nth(column).unwrap().parse::<f64>().unwrap();
    assert!(loss(last) < loss(first), "{text}");
}

/// The card of the tiny model promises more than this on scenes like these.
#[test]
fn a_data_set_is_evaluated() {
    let text = printed("evaluate_dataset");
    let number = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().parse::<f64>().unwrap()
    };
    let ious = text.lines().filter_map(|line| line.rsplit_once(": IoU "));
    let ious: Vec<f64> = ious.map(|(_, iou)| iou.parse().unwrap()).collect();
    assert!(text.lines().any(|line| line == format!("{} expressions", ious.len())), "{text}");
    let mean = 100.0 * ious.iter().sum::<f64>() / ious.len() as f64;
    assert!((number("miou: ") - mean).abs() < 0.1, "{text}");
    assert!(mean > 60.0, "{text}");
}

/// log(cosh(x)) by hand from the Dice that is printed beside it.
#[test]
fn a_loss_of_ones_own_is_minimised() {
    let text = printed("own_loss");
    let numbers = |line: &str| {
        let parts = line.split([' ', ',']).filter_map(|part| part.parse().ok());
        parts.collect::<Vec<f64>>()
    };
    let steps: Vec<_> = text.lines().map(numbers).collect();
    for step in &steps {
        assert!((step[0] - step[1].cosh().ln()).abs() < 2e-4, "{text}");
    }
    let (first, last) = (&steps[0], steps.last().unwrap());
    assert!(last[0] < first[0] && last[2] > first[2], "{text}");
}

/// x W = [3, 1, 5]; x A = 3 + 2 = 5; twice 5 B = [100, 0, -100].
#[test]
fn lora_is_what_the_hand_computes() {
    let text = printed("lora_by_hand");
    let lines = [
        "x W = [3.0, 1.0, 5.0]",
        "by hand = [103.0, 1.0, -95.0]",
        "the layer = [103.0, 1.0, -95.0]",
        "merged = [103.0, 1.0, -95.0]",
        "merged W = [21.0, 0.0, -18.0, 40.0, 1.0, -41.0]",
        "11 numbers, 5 of them trained; merged 6",
        "4096 x 4096 of rank 64: 16777216 frozen, 524288 trained",
    ];
    assert_lines(&text, &lines);
}

/// String, area and box are those of pycocotools 2.0.11.
#[test]
fn a_mask_goes_to_coco_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let output = example("coco_rle", folder.path()).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["segmentation"]["counts"], "632NO010O0124");
    assert_eq!(json["segmentation"]["size"], serde_json::json!([5, 6]));
    assert_eq!(json["area"], 10);
    assert_eq!(json["bbox"], serde_json::json!([1, 1, 4, 3]));
    let text = errors(&output);
    assert_lines(&text, &["runs: [6, 3, 2, 1, 1, 1, 2, 1, 1, 1, 2, 3, 6]"]);
    assert_lines(&text, &["the same mask: true and true"]);
}
