//! A benchmark that is divided: the parts together give the numbers of the whole, and files that do not
//! belong together are refused.

use mllmseg::evaluate::score;
use tempfile::TempDir;

use super::*;

/// Evaluates one shard, to a file.
fn evaluate_shard(
    options: BenchmarkOptions,
    shard: &str,
    file: &Path,
    resume: bool,
) -> Result<Evaluation, EvalError> {
    let benchmark = Benchmark::open(&fixtures(), options)?;
    let mut selection = benchmark.selection()?;
    selection.keep_shard(shard.parse().unwrap())?;
    let options = RunOptions { predictions: Some(file), resume };
    evaluate(&QWEN2, &selection, options, &mut |_| {})
}

/// The files of three shards of a split.
fn three_shards(folder: &TempDir, options: &BenchmarkOptions) -> [PathBuf; 3] {
    [1, 2, 3].map(|number| {
        let file = folder.path().join(format!("{number}.jsonl"));
        evaluate_shard(options.clone(), &format!("{number}/3"), &file, false).unwrap();
        file
    })
}

#[test]
fn shards_together_give_the_numbers_of_the_whole() {
    for (dataset, protocol) in [
        ("refcoco", Protocol::Standard),
        ("refcoco", Protocol::Released),
        ("grefcoco", Protocol::Standard),
        ("grefcoco", Protocol::Released),
    ] {
        let folder = TempDir::new().unwrap();
        let options = parsed(dataset, "val", protocol);
        let (expected, _) = evaluated(&fixtures(), options.clone(), RunOptions::default()).unwrap();
        let [first, second, third] = three_shards(&folder, &options);
        let benchmark = Benchmark::open(&fixtures(), options).unwrap();
        let selection = benchmark.selection().unwrap();
        let found = score(&selection, &[&third, &first, &second], false).unwrap();
        assert_eq!(found.summary, expected.summary, "{dataset} {protocol}");
        assert_eq!(found.outcomes, expected.outcomes);
        let joined = folder.path().join("joined.jsonl");
        fs::write(&joined, [&second, &first, &third].map(|file| fs::read(file).unwrap()).concat())
            .unwrap();
        assert_eq!(score(&selection, &[&joined], false).unwrap().summary, expected.summary);
    }
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let files = three_shards(&folder, &refcoco_val());
    let [first, second, third] = files.each_ref().map(PathBuf::as_path);
    let benchmark = Benchmark::open(&fixtures(), refcoco_val()).unwrap();
    let selection = benchmark.selection().unwrap();
    let complaint = |files: &[&Path]| score(&selection, files, false).unwrap_err().to_string();

    assert_says(complaint(&[first, third]), &["all 3 shards, found none of 2;", "--allow-missing"]);
    assert_says(complaint(&[third]), &["3.jsonl: shard 3/3", "found none of 1, 2;"]);
    assert_says(
        complaint(&[first, second, third, second]),
        &["2.jsonl: shard 2/3 is in", "2.jsonl too"],
    );
    let part = score(&selection, &[first, third], true).unwrap().summary;
    assert_eq!(part.missing_predictions, read_lines(second).len());
    assert_eq!(part.numbers.n() as usize, read_lines(first).len() + read_lines(third).len());

    let other = path("other.jsonl");
    evaluate_shard(refcoco_val(), "1/2", &other, false).unwrap();
    assert_says(complaint(&[&other, second, third]), &["one of 2 shards as in", "found shard 2/3"]);
    evaluated(
        &fixtures(),
        refcoco_val(),
        RunOptions { predictions: Some(&path("whole")), resume: false },
    )
    .unwrap();
    assert_says(
        complaint(&[&path("whole"), first]),
        &["whole: expected one of 3 shards", "found the whole"],
    );

    let text = fs::read_to_string(second).unwrap();
    let fingerprint = read_lines(second)[0]["mllmseg"]["checkpoint"].as_str().unwrap().to_owned();
    fs::write(&other, text.replace(&fingerprint, "0123456789abcdef")).unwrap();
    assert_says(
        complaint(&[first, &other, third]),
        &["other.jsonl", "checkpoint fingerprint", "found 0123456789abcdef"],
    );
    fs::write(&other, text.replacen("2/3", "4/3", 1)).unwrap();
    assert_says(complaint(&[first, &other, third]), &["other.jsonl", "such as 3/8, found 4/3"]);
    fs::copy(predictions("refcoco_val"), &other).unwrap();
    assert_says(
        complaint(&[first, &other]),
        &["other.jsonl: expected predictions of the same run as", "score it alone"],
    );
    // Files of other programs: only the entries tell.
    assert_says(
        complaint(&[&other, &predictions("refcoco_val")]),
        &["a second entry", "which", "other.jsonl has too"],
    );
    assert_says(complaint(&[]), &["expected a prediction for each of 9 expressions"]);

    let error = evaluate_shard(refcoco_val(), "1/3", second, true).unwrap_err();
    assert_says(error, &["2.jsonl: expected predictions with shard 1/3, found 2/3"]);
    let error = evaluate_shard(refcoco_val(), "1/1000", &path("x"), false).unwrap_err();
    assert_says(error, &["shard 1/1000: expected at most", "divide by a smaller number"]);
}

#[test]
fn the_commands_divide_and_join() {
    let out = TempDir::new().unwrap();
    let root = fixtures();
    let whole = printed(command("eval", &root, "refcoco", "val").arg("--json"));
    let files = ["1/2", "2/2"].map(|shard| {
        let file = out.path().join(shard.replace('/', "of"));
        let mut eval = command("eval", &root, "refcoco", "val");
        let found =
            printed_json(eval.args(["--json", "--shard", shard, "--predictions"]).arg(&file));
        assert_eq!(found["shard"], shard);
        file
    });
    let mut score = command("score", &root, "refcoco", "val");
    score.args(["--json", "--report"]).arg(out.path()).arg("--predictions").args(&files);
    assert_eq!(printed(&mut score), whole);
    let page = fs::read_to_string(out.path().join("index.html")).unwrap();
    assert!(page.contains("data:image/jpeg;base64,"));
    let mut eval = command("eval", &root, "refcoco", "val");
    let refused = eval.args(["--shard", "0/2", "--predictions", "x"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert_says(errors(&refused), &["expected K/N with K from 1 to N, such as 3/8, found 0/2"]);
    let mut score = command("score", &root, "refcoco", "val");
    assert_says(failure(score.arg("--predictions").arg(&files[0])), &["found none of 2;"]);
}
