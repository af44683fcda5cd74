//! `check-data`: what it counts, what it finds, and its exit code.

use image::{GrayImage, RgbImage};
use serde_json::json;
use tempfile::TempDir;

use super::*;

/// Two images of own data with one of each finding.
fn data() -> TempDir {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    RgbImage::new(40, 30).save(path("a.png")).unwrap();
    RgbImage::new(40, 30).save(path("b.jpg")).unwrap();
    let whole = fs::read(path("b.jpg")).unwrap();
    fs::write(path("b.jpg"), &whole[..whole.len() - 2]).unwrap();
    GrayImage::new(40, 30).save(path("black.png")).unwrap();
    let square = json!([0, 0, 20, 0, 20, 20, 0, 20]);
    let almost = json!([0, 0, 20, 0, 20, 20, 0, 19]);
    let other = json!([20, 0, 40, 0, 40, 30, 20, 30]);
    let long = "x ".repeat(300);
    let lines = [
        ("a.png", "the cup", &square),
        ("a.png", "The Cup.", &square),
        ("a.png", "the cup", &other),
        ("a.png", "the plate", &almost),
        ("a.png", "the fog", &json!("black.png")),
        ("a.png", "the dog", &json!(null)),
        ("a.png", &long, &other),
        ("b.jpg", "the cup", &square),
    ];
    let text = lines.map(|(image, expression, mask)| {
        format!("{}\n", json!({"image": image, "expression": expression, "mask": mask}))
    });
    fs::write(path("train.jsonl"), text.concat()).unwrap();
    folder
}

#[test]
fn everything_that_is_wrong_is_counted_and_shown() {
    let (data, page) = (data(), TempDir::new().unwrap());
    let mut command = mllmseg(["check-data", "--json"]);
    command.arg(data.path()).arg("--report").arg(page.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = &found[0];
    let counts = &found["counts"];
    // The polygons cover 400, 390 or so, and 600 of 1200 pixels.
    let expected = json!([2, 8, 1, 5]);
    let keys =
        ["images", "expressions", "without_target", "targets"].map(|key| counts[key].clone());
    assert_eq!(json!(keys), expected);
    assert_eq!(counts["covered"]["most"], json!(0.5));
    assert_eq!(counts["covered"]["least"], json!(0.0));
    let count = |kind: &str| {
        found["findings"].as_array().unwrap().iter().filter(|one| one["kind"] == kind).count()
    };
    let kinds =
        ["image", "mask", "contradiction", "empty", "overlap", "nowords", "long", "repeated"];
    assert_eq!(kinds.map(count), [1, 0, 1, 1, 1, 0, 1, 1]);
    let page = fs::read_to_string(page.path().join("index.html")).unwrap();
    assert_eq!(page.matches("<article>").count(), 6);
    assert!(page.matches("data:image/jpeg;base64,").count() >= 8);
    assert!(page.contains("b.jpg: this JPEG file is damaged") && !page.contains("<script"));
}

#[test]
fn published_data_are_usable_and_leniencies_are_refused_by_strict() {
    let root = copy_of(&fixtures());
    let check = |more: &[&str]| {
        let mut command = mllmseg(["check-data", "--dataset", "grefcoco"]);
        command.arg(root.path()).args(more).output().unwrap()
    };
    let output = check(&[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert_says(&text, &["0 images that are missing", "annotations enclose nothing"]);
    assert!(check(&["--strict", "--split", "val"]).status.success());
    edit_json(&root.path().join("grefcoco/instances.json"), |all| {
        all["annotations"][0]["iscrowd"] = json!(false);
    });
    assert_says(
        String::from_utf8(check(&[]).stdout).unwrap(),
        &["1 crowd flags other than 0 and 1"],
    );
    let refused = check(&["--strict"]);
    assert!(!refused.status.success());
    assert_says(errors(&refused), &["crowd flags", "first in annotation", "--strict"]);
}
