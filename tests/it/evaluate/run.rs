//! `evaluate`: the same numbers as `score` gives for its predictions, whatever interrupts it, and
//! clear messages where images are not as they should be.

use mllmseg::data::mask::Rle;
use mllmseg::evaluate::write_list;
use serde_json::json;
use tempfile::TempDir;

use super::*;

fn to(file: &Path, resume: bool) -> RunOptions<'_> {
    RunOptions { predictions: Some(file), resume }
}

#[test]
fn a_resumed_run_is_the_same_as_an_uninterrupted_one() {
    let folder = TempDir::new().unwrap();
    let [whole, broken, part] =
        ["whole", "broken", "broken.part"].map(|name| folder.path().join(name));
    let root = fixtures();
    let (expected, progress) = evaluated(&root, refcoco_val(), to(&whole, false)).unwrap();
    let n = expected.summary.numbers.n() as usize;
    let counts = |now: &Progress| (now.done, now.total, now.ciou.is_some());
    assert_eq!(progress.first().map(counts), Some((0, n, false)));
    assert_eq!(progress.last().map(counts), Some((n, n, true)));

    // `score` finds the same numbers in the predictions, and in a list of them.
    let list = folder.path().join("list.json");
    write_list(&whole, &list).unwrap();
    assert_eq!(read_json(&list), Value::from(read_lines(&whole)));
    for file in [&whole, &list] {
        let scored = scored(&root, refcoco_val(), file).unwrap();
        assert_eq!(scored.summary, expected.summary);
        assert_eq!(scored.outcomes, expected.outcomes);
    }

    // Killed while it wrote: the journal cut at any byte, and one whose label is a line of its own,
    // as version 0.1.0 wrote it.
    let text = fs::read_to_string(&whole).unwrap();
    let label = json!({"mllmseg": read_lines(&whole)[0]["mllmseg"]}).to_string();
    let after_label = text.find(",\"ref_id\"").unwrap() + 1;
    let older = format!("{label}\n{{{}", &text[after_label..]);
    for (journal, cut, at_least) in [
        (&text, label.len() / 2, 0),
        (&text, text.len() * 2 / 3, 1),
        (&text, text.len() - 5, 4),
        (&older, label.len() / 2, 0),
        (&older, older.len() - 5, 4),
    ] {
        fs::write(&part, &journal.as_bytes()[..cut]).unwrap();
        let (found, progress) = evaluated(&root, refcoco_val(), to(&broken, true)).unwrap();
        let done = progress[0].done;
        assert!(done >= at_least, "cut at {cut}: {done} were kept");
        assert_eq!(found.summary, expected.summary);
        assert_eq!(found.outcomes, expected.outcomes);
        assert_eq!(fs::read_to_string(&broken).unwrap(), text, "cut at {cut}");
        assert!(!part.exists());
    }

    // Stopped by a limit inside an image, and resumed from the finished lines, or from a list.
    for list in [false, true] {
        let limited = BenchmarkOptions { limit: Some(5), ..refcoco_val() };
        let (limited, _) = evaluated(&root, limited, to(&broken, false)).unwrap();
        assert_eq!(limited.summary.numbers.n(), 5);
        if list {
            write_list(&broken, &broken).unwrap();
        }
        let (_, progress) = evaluated(&root, refcoco_val(), to(&broken, true)).unwrap();
        assert!(progress[0].done > 0);
        assert_eq!(fs::read_to_string(&broken).unwrap(), text);
    }
}

#[test]
fn answers_of_another_run_are_refused() {
    let folder = TempDir::new().unwrap();
    let [file, part] = ["p", "p.part"].map(|name| folder.path().join(name));
    let root = fixtures();
    let limited = |dataset: &str, split: &str, protocol, resume| {
        let options = BenchmarkOptions { limit: Some(1), ..parsed(dataset, split, protocol) };
        evaluated(&root, options, to(&file, resume))
    };
    limited("refcoco", "val", Protocol::Standard, false).unwrap();
    for (dataset, split, protocol, field) in [
        ("refcocog", "val", Protocol::Standard, "dataset"),
        ("refcoco", "testA", Protocol::Standard, "split"),
        ("refcoco", "val", Protocol::Released, "protocol"),
    ] {
        let error = limited(dataset, split, protocol, true).unwrap_err();
        let EvalError::OtherRun(_, found, ..) = &error else {
            panic!("{error}");
        };
        assert_eq!(*found, field, "{error}");
    }
    let resumed = || limited("refcoco", "val", Protocol::Standard, true).unwrap_err();
    let text = fs::read_to_string(&file).unwrap();
    let fingerprint = read_lines(&file)[0]["mllmseg"]["checkpoint"].as_str().unwrap().to_owned();
    fs::write(&file, text.replace(&fingerprint, "0123456789abcdef")).unwrap();
    assert_says(resumed(), &["found 0123456789abcdef"]);
    fs::write(&file, text.replacen("\"protocol\"", "\"threshold\":0.25,\"protocol\"", 1)).unwrap();
    assert_says(resumed(), &["threshold", "found 0.25"]);
    fs::copy(predictions("refcoco_val"), &file).unwrap();
    assert_says(resumed(), &["written by `mllmseg eval`"]);

    // A journal is never overwritten unasked, damage in its middle is not passed over, and two runs
    // never write one file.
    fs::write(&part, "{}\n{}\n{}\n").unwrap();
    let error = limited("refcoco", "val", Protocol::Standard, false).unwrap_err();
    assert!(matches!(error, EvalError::Unfinished { .. }), "{error}");
    assert_says(resumed(), &["p.part: line 1: missing field `ref_id`"]);
    let other = fs::File::open(&part).unwrap();
    other.lock().unwrap();
    assert!(matches!(resumed(), EvalError::Busy { .. }));
}

#[test]
fn images_must_be_there_whole_and_of_their_size() {
    let root = copy_of(&fixtures());
    let root = root.path();
    let image = |id: u64| {
        let name = format!("images/mscoco/images/train2014/COCO_train2014_0{id:011}.jpg");
        root.join(name)
    };
    let run = || evaluated(root, refcoco_val(), RunOptions::default());
    let before = run().unwrap().0.summary;
    let whole = fs::read(image(1000)).unwrap();

    fs::write(image(1000), &whole[..whole.len() / 2]).unwrap();
    assert_says(run().unwrap_err(), &["1000.jpg", "incomplete"]);
    fs::copy(image(1007), image(1000)).unwrap();
    assert_says(run().unwrap_err(), &["image 1000", "annotated as"]);
    fs::remove_file(image(1000)).unwrap();
    assert_says(run().unwrap_err(), &["image 1000 is missing", "1000.jpg"]);

    let benchmark = Benchmark::open(root, refcoco_val()).unwrap();
    let mut selection = benchmark.selection().unwrap();
    selection.skip_missing_images();
    let found = evaluate(&QWEN2, &selection, RunOptions::default(), &mut |_| {}).unwrap();
    assert_eq!(found.summary.missing_images, 1);
    assert!(found.summary.numbers.n() < before.numbers.n());
}

/// An expression without words, or with a token of the model's own, has no answer: an empty mask.
#[test]
fn what_cannot_be_asked_counts_with_an_empty_mask() {
    let root = copy_of(&fixtures());
    let path = root.path().join("grefcoco/grefs(unc).json");
    edit_json(&path, |refs| {
        refs[0]["sentences"][0]["sent"] = json!("");
        refs[0]["sentences"][1]["sent"] = json!("the [SEG] one");
    });
    let file = root.path().join("p.jsonl");
    let options =
        BenchmarkOptions { limit: Some(3), ..BenchmarkOptions::new(Dataset::GRefCoco, Split::Val) };
    let (found, _) = evaluated(root.path(), options, to(&file, false)).unwrap();
    assert_eq!((found.summary.unasked, found.summary.numbers.n()), (2, 3));
    for entry in &read_lines(&file)[..2] {
        let size = [0, 1].map(|i| entry["segmentation"]["size"][i].as_u64().unwrap() as u32);
        let empty = Rle::new(size, vec![size[0] * size[1]]).unwrap();
        assert_eq!(entry["segmentation"]["counts"], empty.to_coco_string());
        assert_eq!((&entry["unasked"], &entry["rejected"]), (&json!(true), &json!(false)));
    }
}

#[test]
fn the_command_prints_numbers_and_writes_a_report_and_a_list() {
    let out = TempDir::new().unwrap();
    let [file, list, report] =
        ["new/p.jsonl", "p.json", "report"].map(|name| out.path().join(name));
    let root = fixtures();
    let printed = printed(
        command("eval", &root, "refcocog", "val")
            .args(["--protocol", "released", "--json", "--predictions"])
            .args([&*file, "--predictions-list".as_ref(), &list, "--report".as_ref(), &report]),
    );
    assert_says(&printed, &["\"dataset\": \"refcocog\"", "\"protocol\": \"released\""]);
    for file in [file, list] {
        let scored = scored(&root, parsed("refcocog", "val", Protocol::Released), &file).unwrap();
        let expected = serde_json::to_string_pretty(&scored.summary).unwrap();
        assert_eq!(printed.trim_end(), expected);
    }
    let page = fs::read_to_string(report.join("index.html")).unwrap();
    assert_says(page, &["protocol <strong>released</strong>", "data:image/jpeg;base64,"]);
}
