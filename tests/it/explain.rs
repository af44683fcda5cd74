//! `mllmseg explain` as people run it, its maps against the published implementation's features.

use std::path::Path;
use std::process::Command;

use safetensors::SafeTensors;
use serde_json::Value;

use super::support::*;

fn explain(image: &Path, expression: &str, checkpoint: &Path, out: &Path) -> Command {
    let mut command = mllmseg(["explain", "--device", "cpu", "--json", "--checkpoint"]);
    command.arg(checkpoint).arg("--out").arg(out).arg(image).arg(expression);
    command
}

/// The absolute mean of every row of an expected tensor `[1, n, c]`.
fn means(name: &str) -> Vec<f64> {
    let (shape, values) = floats(&case("qwen2").join("expected.safetensors"), name);
    let mean =
        |row: &[f32]| row.iter().map(|value| f64::from(value.abs())).sum::<f64>() / shape[2] as f64;
    values.chunks(shape[2]).map(mean).collect()
}

fn values(map: &Value) -> Vec<f64> {
    let rows = map["values"].as_array().unwrap();
    assert_eq!(rows.len() as u64, map["side"].as_u64().unwrap());
    rows.iter().flat_map(|row| row.as_array().unwrap()).map(|v| v.as_f64().unwrap()).collect()
}

#[test]
fn the_maps_are_the_published_features_and_the_figure_shows_them() {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().join("deep/er");
    let picture = case("qwen2").join("image.png");
    let json =
        printed_json(&mut explain(&picture, "small brown dog", &checkpoint("qwen2"), &folder));
    let maps = json["maps"].as_array().unwrap();
    let names: Vec<_> = maps.iter().map(|map| map["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["T_img1", "T_img2", "T_vl"]);

    // Every 37th token of T_img1.
    let details = values(&maps[0]);
    assert_eq!(details.len(), 32 * 32);
    for (number, mean) in means("vit_feature").into_iter().enumerate() {
        assert!((details[37 * number] - mean).abs() <= 1e-4 * mean, "token {}", 37 * number);
    }
    // Every 9th state; T_img2 is read one position before each of the 256 image tokens.
    let bytes = std::fs::read(case("qwen2").join("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let (ids, _) = expected.tensor("input_ids").unwrap().data().as_chunks::<4>();
    let start = ids.windows(256).position(|run| run.iter().all(|id| *id == run[0])).unwrap();
    let semantics = values(&maps[1]);
    assert_eq!(semantics.len(), 16 * 16);
    let mut compared = 0;
    for (number, mean) in means("last_hidden_state").into_iter().enumerate() {
        let token = (9 * number + 1).checked_sub(start).filter(|&token| token < 256);
        if let Some(token) = token {
            assert!((semantics[token] - mean).abs() <= 1e-3 * mean, "token {token}");
            compared += 1;
        }
    }
    assert!(compared >= 28, "{compared}");
    assert_eq!(values(&maps[2]).len(), 32 * 32);

    for (map, side) in maps.iter().zip([32, 16, 32]) {
        let name = map["name"].as_str().unwrap();
        let grey = folder.join(format!("image_explain_{name}.png"));
        let grey = image::open(grey).unwrap().into_luma8();
        assert_eq!(grey.dimensions(), (side, side));
        // Black and white lie where the least and the largest number are.
        let values = values(map);
        for (level, pick) in [(0, f64::min as fn(f64, f64) -> f64), (255, f64::max)] {
            let extreme = values.iter().copied().reduce(pick).unwrap();
            let place = values.iter().position(|value| *value == extreme).unwrap();
            assert_eq!(grey.as_raw()[place], level, "{name}");
        }
    }
    let mask = image::open(folder.join("image_explain_mask.png")).unwrap().into_luma8();
    assert_eq!(mask.dimensions(), (640, 427));
    let area = mask.pixels().filter(|pixel| pixel.0[0] == 255).count() as u64;
    assert_eq!(json["result"]["area"].as_u64(), Some(area));
    // Five panels of the picture at 480 a side.
    let figure = image::open(folder.join("image_explain.png")).unwrap();
    assert!(figure.width() > 5 * 480 && figure.height() > 320);
    let files = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(files, 5, "figure, mask, three maps and nothing else");
}

#[test]
fn an_impossible_request_names_its_fault() {
    let out = tempfile::tempdir().unwrap();
    let fails = |image: &Path, expression: &str, checkpoint: &Path, out: &Path, says: &[&str]| {
        assert_says(failure(&mut explain(image, expression, checkpoint, out)), says);
    };
    let (picture, folder) = (case("qwen2").join("image.png"), out.path().join("made"));
    let checkpoint = &*checkpoint("qwen2");
    let nowhere = Path::new("nowhere.png");
    fails(nowhere, "dog", checkpoint, &folder, &["nowhere.png", "check the path"]);
    fails(&case("qwen2"), "dog", checkpoint, &folder, &["qwen2"]);
    let text = out.path().join("text.png");
    std::fs::write(&text, "hello").unwrap();
    fails(&text, "dog", checkpoint, &folder, &["text.png", "JPEG"]);
    assert!(!folder.exists(), "a picture that cannot be read leaves nothing");
    fails(&picture, " ", checkpoint, &folder, &["empty"]);
    fails(&picture, "dog", Path::new("no-model"), &folder, &["no-model"]);
    fails(&picture, "dog", checkpoint, &text.join("out"), &["cannot write here", "--out"]);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "no file without an answer");
}
