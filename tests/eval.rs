//! `evaluate` end to end with drawn weights: the same numbers as `score` gives for its
//! predictions, whatever interrupts it, and clear words where images are not as they should be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use mllmseg::data::metrics::Protocol;
use mllmseg::data::refer::{Dataset, Split};
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

/// Counts what a run reports.
#[derive(Debug, Default)]
struct Log {
    begun: Option<(usize, usize)>,
    steps: Vec<usize>,
}

impl Watch for Log {
    fn begin(&mut self, done: usize, total: usize) {
        self.begun = Some((done, total));
    }
    fn advance(&mut self, done: usize, ciou: Option<f64>) {
        assert!(ciou.is_some());
        self.steps.push(done);
    }
}

struct Run<'a> {
    root: &'a Path,
    options: BenchmarkOptions,
    predictions: Option<&'a Path>,
    resume: bool,
    skip_missing: bool,
}

impl<'a> Run<'a> {
    fn new(root: &'a Path, predictions: Option<&'a Path>) -> Self {
        Self {
            root,
            options: BenchmarkOptions::new(Dataset::RefCoco, Split::Val),
            predictions,
            resume: false,
            skip_missing: false,
        }
    }

    fn go(self) -> Result<(Evaluation, Log), EvalError> {
        let (folder, segmenter) = &*MODEL;
        let benchmark = Benchmark::open(self.root, self.options)?;
        let mut selection = benchmark.selection()?;
        if self.skip_missing {
            selection.skip_missing_images();
        }
        let mut log = Log::default();
        let options = RunOptions {
            checkpoint: folder.path(),
            predictions: self.predictions,
            resume: self.resume,
        };
        Ok((evaluate(segmenter, &selection, options, &mut log)?, log))
    }
}

#[test]
fn interrupted_and_gone_on_with_is_the_same_as_uninterrupted() {
    let folder = TempDir::new().unwrap();
    let [whole, broken] = ["whole.json", "broken.json"].map(|name| folder.path().join(name));
    let part = folder.path().join("broken.json.part");
    let root = fixtures();
    let (expected, log) = Run::new(&root, Some(&whole)).go().unwrap();
    let n = expected.summary.numbers.n() as usize;
    assert_eq!(log.begun, Some((0, n)));
    assert_eq!(log.steps.last(), Some(&n));

    // `score` finds the same numbers in the predictions.
    let benchmark = Benchmark::open(&root, Run::new(&root, None).options).unwrap();
    let scored = score(&benchmark.selection().unwrap(), &whole, false).unwrap();
    assert_eq!(scored.summary, expected.summary);
    assert_eq!(scored.outcomes, expected.outcomes);

    // Killed while it wrote: the journal as it grew, cut at any byte.
    let text = fs::read_to_string(&whole).unwrap();
    let entries: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut journal = json!({"mllmseg": entries[0]["mllmseg"]}).to_string() + "\n";
    let header = journal.len();
    for line in text.lines().filter(|line| line.starts_with('{')) {
        let line = line.trim_end_matches(',');
        let entry = line.split_once(",\"ref_id\"").map(|(_, rest)| format!("{{\"ref_id\"{rest}"));
        journal += &match line.starts_with("{\"mllmseg\"") {
            true => entry.unwrap(),
            false => line.to_owned(),
        };
        journal.push('\n');
    }
    for (cut, at_least) in
        [(header / 2, 0), (header + (journal.len() - header) * 2 / 3, 1), (journal.len() - 5, 4)]
    {
        fs::write(&part, &journal.as_bytes()[..cut]).unwrap();
        let mut run = Run::new(&root, Some(&broken));
        run.resume = true;
        let (found, log) = run.go().unwrap();
        let (done, _) = log.begun.unwrap();
        assert!(done >= at_least, "cut at {cut}: {done} were kept");
        assert_eq!(found.summary, expected.summary);
        assert_eq!(found.outcomes, expected.outcomes);
        assert_eq!(fs::read_to_string(&broken).unwrap(), text, "cut at {cut}");
        assert!(!part.exists());
    }

    // Stopped by a limit inside an image, and then gone on with from the finished list.
    let mut run = Run::new(&root, Some(&broken));
    run.options.limit = Some(5);
    let (limited, _) = run.go().unwrap();
    assert_eq!(limited.summary.numbers.n(), 5);
    let mut run = Run::new(&root, Some(&broken));
    run.resume = true;
    run.go().unwrap();
    assert_eq!(fs::read_to_string(&broken).unwrap(), text);
}

#[test]
fn another_runs_answers_are_not_gone_on_with() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("p.json");
    let part = folder.path().join("p.json.part");
    let root = fixtures();
    let limited = |dataset: &str, split: &str, protocol, resume| {
        let mut run = Run::new(&root, Some(&file));
        run.options = BenchmarkOptions {
            limit: Some(1),
            protocol,
            ..BenchmarkOptions::new(dataset.parse().unwrap(), split.parse().unwrap())
        };
        run.resume = resume;
        run.go()
    };
    limited("refcoco", "val", Protocol::Standard, false).unwrap();
    for (dataset, split, protocol, field) in [
        ("refcocog", "val", Protocol::Standard, "dataset"),
        ("refcoco", "testA", Protocol::Standard, "split"),
        ("refcoco", "val", Protocol::Released, "protocol"),
    ] {
        let error = limited(dataset, split, protocol, true).unwrap_err();
        let EvalError::OtherRun { field: found, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(*found, field, "{error}");
    }
    let text = fs::read_to_string(&file).unwrap();
    let fingerprint = serde_json::from_str::<Value>(&text).unwrap()[0]["mllmseg"]["checkpoint"]
        .as_str()
        .unwrap()
        .to_owned();
    fs::write(&file, text.replace(&fingerprint, "0123456789abcdef")).unwrap();
    let error = limited("refcoco", "val", Protocol::Standard, true).unwrap_err();
    assert!(error.to_string().contains("found 0123456789abcdef"), "{error}");
    let foreign = fixtures().join("predictions/refcoco_val.json");
    fs::copy(foreign, &file).unwrap();
    let error = limited("refcoco", "val", Protocol::Standard, true).unwrap_err();
    assert!(error.to_string().contains("written by `mllmseg eval`"), "{error}");

    // A journal is never overwritten unasked, and damage in its middle is not passed over.
    fs::write(&part, "{}\n{}\n{}\n").unwrap();
    let error = limited("refcoco", "val", Protocol::Standard, false).unwrap_err();
    assert!(matches!(error, EvalError::Unfinished { .. }), "{error}");
    let error = limited("refcoco", "val", Protocol::Standard, true).unwrap_err();
    assert!(matches!(error, EvalError::Journal { line: 1, .. }), "{error}");
}

#[test]
fn images_must_be_there_whole_and_of_their_size() {
    let root = copy_of_fixtures();
    let image = |id: u64| {
        let name = format!("images/mscoco/images/train2014/COCO_train2014_0{id:011}.jpg");
        root.path().join(name)
    };
    let before = Run::new(root.path(), None).go().unwrap().0.summary;
    let whole = fs::read(image(1000)).unwrap();

    fs::write(image(1000), &whole[..whole.len() / 2]).unwrap();
    let error = Run::new(root.path(), None).go().unwrap_err();
    assert!(error.to_string().contains("1000.jpg") && error.to_string().contains("incomplete"));
    fs::copy(image(1007), image(1000)).unwrap();
    let error = Run::new(root.path(), None).go().unwrap_err().to_string();
    assert!(error.contains("image 1000") && error.contains("annotated as"), "{error}");
    fs::remove_file(image(1000)).unwrap();
    let error = Run::new(root.path(), None).go().unwrap_err().to_string();
    assert!(error.contains("image 1000 is missing") && error.contains("1000.jpg"), "{error}");

    let mut run = Run::new(root.path(), None);
    run.skip_missing = true;
    let summary = run.go().unwrap().0.summary;
    assert_eq!(summary.missing_images, 1);
    assert!(summary.numbers.n() < before.numbers.n());
}

/// An expression without words, or with a token of the model's own, has no answer: an empty mask.
#[test]
fn what_cannot_be_asked_counts_with_an_empty_mask() {
    let root = copy_of_fixtures();
    let path = root.path().join("grefcoco/grefs(unc).json");
    let mut refs: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    refs[0]["sentences"][0]["sent"] = json!("");
    refs[0]["sentences"][1]["sent"] = json!("the [SEG] one");
    fs::write(&path, refs.to_string()).unwrap();
    let file = root.path().join("p.json");
    let mut run = Run::new(root.path(), Some(&file));
    run.options =
        BenchmarkOptions { limit: Some(3), ..BenchmarkOptions::new(Dataset::GRefCoco, Split::Val) };
    let (found, _) = run.go().unwrap();
    assert_eq!((found.summary.unasked, found.summary.numbers.n()), (2, 3));
    let entries: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    for entry in &entries.as_array().unwrap()[..2] {
        let [height, width] = [0, 1].map(|i| entry["segmentation"]["size"][i].as_u64().unwrap());
        let empty = mllmseg::data::mask::Rle::new(
            [height as u32, width as u32],
            vec![(height * width) as u32],
        );
        let counts = empty.unwrap().to_coco_string();
        assert_eq!(entry["segmentation"]["counts"], counts);
        assert_eq!((&entry["unasked"], &entry["rejected"]), (&json!(true), &json!(false)));
    }
}

#[test]
fn the_command_prints_numbers_and_writes_a_report() {
    let out = TempDir::new().unwrap();
    let file = out.path().join("p.json");
    let output = Command::new(env!("CARGO_BIN_EXE_mllmseg"))
        .args(["eval", "--dataset", "refcocog", "--split", "val", "--protocol", "released"])
        .args(["--device", "cpu", "--json", "--data"])
        .arg(fixtures())
        .arg("--checkpoint")
        .arg(MODEL.0.path())
        .arg("--predictions")
        .arg(&file)
        .arg("--report")
        .arg(out.path().join("report"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("\"dataset\": \"refcocog\""), "{printed}");
    assert!(printed.contains("\"protocol\": \"released\""), "{printed}");
    let options = BenchmarkOptions {
        protocol: Protocol::Released,
        ..BenchmarkOptions::new(Dataset::RefCocoG, Split::Val)
    };
    let benchmark = Benchmark::open(&fixtures(), options).unwrap();
    let scored = score(&benchmark.selection().unwrap(), &file, false).unwrap();
    let expected = serde_json::to_string_pretty(&scored.summary).unwrap();
    assert_eq!(printed.trim_end(), expected);
    let page = fs::read_to_string(out.path().join("report/index.html")).unwrap();
    assert!(page.contains("protocol <strong>released</strong>"));
    assert!(page.contains("data:image/jpeg;base64,"));
}

fn copy_of_fixtures() -> TempDir {
    let root = TempDir::new().unwrap();
    copy_folder(&fixtures(), root.path());
    root
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy_folder(&path, &target),
            false => fs::copy(&path, &target).map(|_| ()).unwrap(),
        }
    }
}
