//! Own data evaluate as the published sets do: the same images, expressions and masks written as
//! JSON lines give the same numbers.

use std::fs;

use image::GrayImage;
use mllmseg::data::image::{Orientation, read_image_with};
use mllmseg::data::refer::ReferDataset;
use mllmseg::evaluate::score;
use serde_json::json;
use tempfile::TempDir;

use super::*;

/// A split of a published set as own data: every mask a PNG.
fn rewritten(dataset: Dataset, split: Split) -> TempDir {
    let folder = TempDir::new().unwrap();
    let data = ReferDataset::open(&fixtures(), dataset, None).unwrap();
    let mut lines = String::new();
    for item in data.items(split).unwrap() {
        // One of these pictures says that it lies on its side; the published sets go by its pixels.
        let path = data.image_path(item.image).unwrap();
        let picture = read_image_with(path, Orientation::Stored).unwrap();
        let image = format!("{}.png", item.image.id);
        picture.save(folder.path().join(&image)).unwrap();
        for asked in &item.expressions {
            let truth = data.mask(item.image, asked.targets).unwrap();
            let mask = truth.map(|truth| {
                let name = format!("{}_{}.png", asked.ref_id, asked.sent_id);
                let [height, width] = truth.size().map(|side| side as u32);
                let picture = GrayImage::from_raw(width, height, truth.to_bytes(255)).unwrap();
                picture.save(folder.path().join(&name)).unwrap();
                name
            });
            let line = json!({"image": image, "expression": asked.text, "mask": mask});
            lines += &format!("{line}\n");
        }
    }
    fs::write(folder.path().join(format!("{split}.jsonl")), lines).unwrap();
    folder
}

#[test]
fn the_numbers_are_those_of_the_published_set() {
    for (dataset, like, protocol) in [
        (Dataset::RefCoco, "refcoco", Protocol::Standard),
        (Dataset::GRefCoco, "grefcoco", Protocol::Released),
    ] {
        let folder = rewritten(dataset, Split::Val);
        let of =
            |dataset| BenchmarkOptions { protocol, ..BenchmarkOptions::new(dataset, Split::Val) };
        let run = |root: &Path, dataset, predictions| {
            let options = RunOptions { predictions, resume: false };
            evaluated(root, of(dataset), options).unwrap().0.summary
        };
        let published = run(&fixtures(), dataset, None);
        let predictions = folder.path().join("predictions.jsonl");
        let own = run(folder.path(), Dataset::Own, Some(&predictions));
        assert_eq!((own.dataset.as_str(), own.scored_as), ("own", Some(like)));
        assert_eq!(published.scored_as, None);
        assert_eq!(own.numbers.n(), published.numbers.n());
        let published_numbers = published.numbers.all();
        for (key, value) in own.numbers.all() {
            // The published boxes are the annotations', the own ones are the masks'.
            if key != "rec_prec@0.5" {
                assert!(published_numbers.contains(&(key, value)), "{dataset} {key} {value:?}");
            }
        }
        let scored = scored(folder.path(), of(Dataset::Own), &predictions).unwrap();
        assert_eq!(scored.summary, own);
    }
}

#[test]
fn the_command_says_whose_metrics_it_prints() {
    let folder = rewritten(Dataset::GRefCoco, Split::Val);
    let report = folder.path().join("report");
    let eval = |more: &[&str]| {
        let mut eval = command("eval", folder.path(), "own", "val");
        printed(eval.args(["--limit", "3", "--report"]).arg(&report).args(more))
    };
    let printed = eval(&[]);
    let title = "own val (split by files), scored as grefcoco, protocol standard: 3 expressions";
    assert!(printed.starts_with(title) && printed.contains("gIoU"), "{printed}");
    let page = fs::read_to_string(report.join("index.html")).unwrap();
    assert!(page.contains("split by files · scored as grefcoco · protocol"));
    assert!(page.contains("data:image/jpeg;base64,"));
    let printed: Value = serde_json::from_str(&eval(&["--json"])).unwrap();
    assert_eq!(printed["scored_as"], "grefcoco");
}

#[test]
fn bad_data_are_named_by_line() {
    let folder = rewritten(Dataset::RefCoco, Split::Val);
    let options = || BenchmarkOptions::new(Dataset::Own, Split::Val);
    let path = folder.path().join("val.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let run =
        || evaluated(folder.path(), options(), RunOptions::default()).unwrap_err().to_string();
    fs::write(&path, format!("{text}{{\"image\": 1}}\n")).unwrap();
    let line = text.lines().count() + 1;
    assert_says(run(), &[&format!("val.jsonl: line {line}: invalid type")]);

    let gone = json!({"image": "gone.jpg", "expression": "it", "mask": [0, 0, 5, 0, 5, 5]});
    fs::write(&path, format!("{text}{gone}\n")).unwrap();
    assert_says(run(), &["gone.jpg", &format!("val.jsonl: line {line}")]);
    let benchmark = Benchmark::open(folder.path(), options()).unwrap();
    let id = benchmark.data.all_refs().last().unwrap().ref_id;
    let entry =
        json!([{"ref_id": id, "sent_id": id, "segmentation": {"size": [1, 1], "counts": [1]}}]);
    let predictions = folder.path().join("predictions.json");
    fs::write(&predictions, entry.to_string()).unwrap();
    let error = score(&benchmark.selection().unwrap(), &[&predictions], true).unwrap_err();
    assert_says(error, &["is missing: no file"]);
    let mut selection = benchmark.selection().unwrap();
    selection.skip_missing_images();
    assert_eq!((selection.expression_count() + 1, selection.missing_images.len()), (line, 1));
}
