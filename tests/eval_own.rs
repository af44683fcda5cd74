//! Data of one's own evaluate as the published sets do: the same pictures, words and masks written
//! as JSON lines give the same numbers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use image::GrayImage;
use mllmseg::data::image::{Orientation, read_image_with};
use mllmseg::data::metrics::Protocol;
use mllmseg::data::refer::{Dataset, ReferDataset, Split};
use mllmseg::evaluate::{
    Benchmark, BenchmarkOptions, EvalError, Evaluation, RunOptions, Watch, evaluate, score,
};
use mllmseg::{Segmenter, device};
use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::weights::{CheckpointOptions, write_checkpoint};

static MODEL: LazyLock<(TempDir, Segmenter)> = LazyLock::new(|| {
    let folder = TempDir::new().unwrap();
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/qwen2");
    write_checkpoint(&case, folder.path(), &CheckpointOptions::default()).unwrap();
    let segmenter = Segmenter::load(folder.path(), &device::cpu()).unwrap();
    (folder, segmenter)
});

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/eval")
}

/// Nobody watches.
struct Quiet;

impl Watch for Quiet {
    fn begin(&mut self, _done: usize, _total: usize) {}
    fn advance(&mut self, _done: usize, _ciou: Option<f64>) {}
}

fn run(
    root: &Path,
    options: BenchmarkOptions,
    predictions: Option<&Path>,
) -> Result<Evaluation, EvalError> {
    let (folder, segmenter) = &*MODEL;
    let benchmark = Benchmark::open(root, options)?;
    let options = RunOptions { checkpoint: folder.path(), predictions, resume: false };
    evaluate(segmenter, &benchmark.selection()?, options, &mut Quiet)
}

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
        let published = run(&fixtures(), of(dataset), None).unwrap().summary;
        let predictions = folder.path().join("predictions.json");
        let own = run(folder.path(), of(Dataset::Own), Some(&predictions)).unwrap().summary;
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
        let benchmark = Benchmark::open(folder.path(), of(Dataset::Own)).unwrap();
        let scored = score(&benchmark.selection().unwrap(), &predictions, false).unwrap();
        assert_eq!(scored.summary, own);
    }
}

#[test]
fn the_command_says_whose_metrics_it_prints() {
    let folder = rewritten(Dataset::GRefCoco, Split::Val);
    let report = folder.path().join("report");
    let eval = |more: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_mllmseg"))
            .args(["eval", "--dataset", "own", "--split", "val", "--device", "cpu", "--data"])
            .arg(folder.path())
            .arg("--checkpoint")
            .arg(MODEL.0.path())
            .arg("--report")
            .arg(&report)
            .args(more)
            .output()
            .unwrap()
    };
    let output = eval(&["--limit", "3"]);
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let title = "own val (split by files), scored as grefcoco, protocol standard: 3 expressions";
    assert!(printed.starts_with(title) && printed.contains("gIoU"), "{printed}");
    let page = fs::read_to_string(report.join("index.html")).unwrap();
    assert!(page.contains("split by files · scored as grefcoco · protocol"));
    assert!(page.contains("data:image/jpeg;base64,"));
    let output = eval(&["--limit", "3", "--json"]);
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed["scored_as"], "grefcoco");
}

#[test]
fn bad_data_are_named_by_line() {
    let folder = rewritten(Dataset::RefCoco, Split::Val);
    let options = || BenchmarkOptions::new(Dataset::Own, Split::Val);
    let path = folder.path().join("val.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}{{\"image\": 1}}\n")).unwrap();
    let line = text.lines().count() + 1;
    let error = run(folder.path(), options(), None).unwrap_err().to_string();
    assert!(error.contains(&format!("val.jsonl: line {line}: invalid type")), "{error}");

    let gone = json!({"image": "gone.jpg", "expression": "it", "mask": [0, 0, 5, 0, 5, 5]});
    fs::write(&path, format!("{text}{gone}\n")).unwrap();
    let error = run(folder.path(), options(), None).unwrap_err().to_string();
    assert!(
        error.contains("gone.jpg") && error.contains(&format!("val.jsonl: line {line}")),
        "{error}"
    );
    let benchmark = Benchmark::open(folder.path(), options()).unwrap();
    let id = benchmark.data().all_refs().last().unwrap().ref_id;
    let entry =
        json!([{"ref_id": id, "sent_id": id, "segmentation": {"size": [1, 1], "counts": [1]}}]);
    let predictions = folder.path().join("predictions.json");
    fs::write(&predictions, entry.to_string()).unwrap();
    let error = score(&benchmark.selection().unwrap(), &predictions, true).unwrap_err();
    assert!(error.to_string().contains("is missing: no file"), "{error}");
    let mut selection = benchmark.selection().unwrap();
    selection.skip_missing_images();
    assert_eq!((selection.len() + 1, selection.missing_images().len()), (line, 1));
}
