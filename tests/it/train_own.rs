//! Data of one's own train as the published sets do: the command from nothing to a model, whose
//! numbers `eval` finds again.

use std::fs;
use std::path::Path;
use std::process::Command;

use image::{GrayImage, Luma, Rgb, RgbImage};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::*;

const SIDE: u32 = 48;

/// Two pictures of a square, each with a PNG, a polygon and an expression without a target.
fn data() -> TempDir {
    let folder = TempDir::new().unwrap();
    let mut lines = String::new();
    for (number, left) in [6, 20].into_iter().enumerate() {
        let inside = |x: u32, y: u32| (left..left + 20).contains(&x) && (10..30).contains(&y);
        let colour = |x, y| if inside(x, y) { Rgb([220, 30, 30]) } else { Rgb([230; 3]) };
        let (picture, mask) = (format!("{number}.jpg"), format!("{number}.png"));
        RgbImage::from_fn(SIDE, SIDE, colour).save(folder.path().join(&picture)).unwrap();
        GrayImage::from_fn(SIDE, SIDE, |x, y| Luma([u8::from(inside(x, y))]))
            .save(folder.path().join(&mask))
            .unwrap();
        let outline = json!([left, 10, left + 20, 10, left + 20, 30, left, 30]);
        for (expression, mask) in
            [("the red square", json!(mask)), ("its outline", outline), ("a dog", Value::Null)]
        {
            let line = json!({"image": picture, "expression": expression, "mask": mask});
            lines += &format!("{line}\n");
        }
    }
    for split in ["train", "val"] {
        fs::write(folder.path().join(format!("{split}.jsonl")), &lines).unwrap();
    }
    folder
}

#[test]
fn a_model_is_trained_validated_and_evaluated() {
    let data = data();
    let out = TempDir::new().unwrap();
    let run = out.path().join("run");
    let on_data = |command: &str| -> Command {
        let mut command = mllmseg([command, "--device", "cpu", "--data"]);
        command.arg(data.path());
        command
    };
    let train = |run: &Path| {
        let what = ["--recipe", "tiny", "--mix", "own", "--validate-on", "own", "--plain"];
        let how = ["--steps", "2", "--validate-every", "2", "--out"];
        on_data("train").args(what).args(how).arg(run).output().unwrap()
    };
    let output = train(&run);
    assert!(output.status.success(), "{output:?}");
    assert_says(errors(&output), &["own: 6 expressions of 2 images"]);

    let what = ["--dataset", "own", "--split", "val", "--json", "--checkpoint"];
    let numbers = printed_json(on_data("eval").args(what).arg(run.join("model")));
    assert_eq!((&numbers["scored_as"], &numbers["n"]), (&json!("grefcoco"), &json!(6)));
    let table = fs::read_to_string(run.join("validation.csv")).unwrap();
    let mut rows = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let (names, row) = (rows.next().unwrap(), rows.next_back().unwrap());
    let ciou = names.iter().position(|name| *name == "ciou").unwrap();
    let difference = row[ciou].parse::<f64>().unwrap() - numbers["ciou"].as_f64().unwrap();
    assert!(difference.abs() < 0.01, "{table} and {numbers}");

    // A mask of another size stops the run before it begins, with its line.
    GrayImage::new(SIDE, SIDE + 1).save(data.path().join("1.png")).unwrap();
    let said = failure_of(&train(&out.path().join("other")));
    assert_says(&said, &["line 4: `mask` is 48x49, but its image 1.jpg is 48x48"]);
}
