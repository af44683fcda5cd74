//! `score` against NumPy and pycocotools on data sets with every oddity
//! (`tests/oracle/eval_fixtures.py` writes both), and what it says of damaged ones.

use mllmseg::evaluate::score;
use serde_json::json;
use tempfile::TempDir;

use super::*;

#[test]
fn numbers_are_numpys_and_pycocotools() {
    let expected = read_json(&fixtures().join("expected.json"));
    let mut compared = 0;
    for (benchmark, protocols) in expected.as_object().unwrap() {
        let (dataset, split) = benchmark.split_once(' ').unwrap();
        for (protocol, numbers) in protocols.as_object().unwrap() {
            let options = parsed(dataset, split, protocol.parse().unwrap());
            let file = predictions(&format!("{dataset}_{split}"));
            let found = scored(&fixtures(), options, &file).unwrap().summary;
            let found = serde_json::to_value(found).unwrap();
            assert_eq!(found["protocol"], *protocol);
            for (key, value) in numbers.as_object().unwrap() {
                let context = format!("{benchmark} {protocol} {key}: {value} and {}", found[key]);
                match (value.as_f64(), found[key].as_f64()) {
                    (Some(expected), Some(found)) => {
                        assert!((expected - found).abs() < 1e-9, "{context}")
                    }
                    (expected, found) => assert_eq!(expected, found, "{context}"),
                }
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 164);
}

#[test]
fn the_command_prints_the_agreed_keys() {
    let root = fixtures();
    let run = |dataset: &str, split: &str| -> Value {
        let file = predictions(&format!("{dataset}_{split}"));
        let mut score = command("score", &root, dataset, split);
        printed_json(score.arg("--json").arg("--predictions").arg(file))
    };
    let expected = read_json(&fixtures().join("expected.json"));
    let referring = "n ciou miou prec@0.5 prec@0.6 prec@0.7 prec@0.8 prec@0.9 rec_prec@0.5";
    for (dataset, keys) in [("refcoco+", referring), ("grefcoco", "n giou ciou n_acc t_acc")] {
        let found = run(dataset, "testA");
        for key in keys.split(' ') {
            let expected = expected[format!("{dataset} testA")]["standard"][key].as_f64().unwrap();
            assert!((found[key].as_f64().unwrap() - expected).abs() < 0.005, "{key}");
        }
        assert_eq!([&found["protocol"], &found["split_by"]], ["standard", "unc"]);
    }
}

#[test]
fn missing_doubled_and_unknown_entries_are_named() {
    let folder = TempDir::new().unwrap();
    let all = read_json(&predictions("refcoco_val"));
    let all = all.as_array().unwrap();
    let ids = |entry: &Value| format!("ref_id {}, sent_id {}", entry["ref_id"], entry["sent_id"]);
    let complaint = |entries: &[Value]| {
        let file = folder.path().join("p.json");
        fs::write(&file, json!(entries).to_string()).unwrap();
        scored(&fixtures(), refcoco_val(), &file).unwrap_err()
    };

    let [first, second] = [0, 1].map(|index| ids(&all[index]).replace(',', ""));
    let missing = "each of 9 expressions, but 2 have none";
    assert_says(complaint(&all[2..]), &[missing, &first, &second]);
    let mut doubled = all.to_vec();
    doubled.push(all[3].clone());
    assert_says(complaint(&doubled), &[&ids(&all[3]), "a second entry"]);
    let mut unknown = all.to_vec();
    unknown[4]["sent_id"] = json!(4711);
    assert_says(complaint(&unknown), &["sent_id 4711: refcoco val has no such expression"]);

    // What is there can be scored when that is asked for.
    let file = folder.path().join("p.json");
    fs::write(&file, json!(&all[2..]).to_string()).unwrap();
    let benchmark = Benchmark::open(&fixtures(), refcoco_val()).unwrap();
    let summary = score(&benchmark.selection().unwrap(), &[&file], true).unwrap().summary;
    assert_eq!((summary.numbers.n(), summary.missing_predictions), (7, 2));
}

#[test]
fn a_limit_takes_the_first_expressions_of_the_file() {
    let options = BenchmarkOptions { limit: Some(4), ..refcoco_val() };
    let benchmark = Benchmark::open(&fixtures(), options.clone()).unwrap();
    assert_eq!(benchmark.selection().unwrap().expression_count(), 4);
    let found = scored(&fixtures(), options, &predictions("refcoco_val")).unwrap();
    assert_eq!(found.summary.numbers.n(), 4);
}

#[test]
fn damaged_predictions_are_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("p.json");
    let mut text = fs::read_to_string(predictions("refcoco_val")).unwrap();
    let complaint = |text: &str| {
        fs::write(&file, text).unwrap();
        scored(&fixtures(), refcoco_val(), &file).unwrap_err()
    };
    let entries: Value = serde_json::from_str(&text).unwrap();
    let changed = |pointer: &str, value: Value, words: &[&str]| {
        let mut entries = entries.clone();
        *entries[1].pointer_mut(pointer).unwrap() = value;
        assert_says(complaint(&entries.to_string()), words);
    };
    let [ref_id, sent_id] = ["ref_id", "sent_id"].map(|key| entries[1][key].clone());
    let named = format!("ref_id {ref_id}, sent_id {sent_id}");

    changed("/segmentation/counts", json!([5, 6]), &[&named, "found a sum of 11"]);
    changed("/segmentation/size", json!([3, 4]), &[&named, "found 3 x 4"]);
    changed("/segmentation/size", json!([4000000000u32, 4000000000u32]), &[&named]);
    changed("/segmentation/counts", json!("~~~"), &[&named, "RLE string"]);
    changed("/segmentation", json!(null), &["predictions[1]"]);
    changed("/ref_id", json!("five"), &["predictions[1]", "five"]);

    text.truncate(text.len() / 2);
    assert!(complaint(&text).contains("cut short"));
    assert!(complaint("{}").contains("line 1: missing field `ref_id`"));
    assert!(complaint("7").contains("line 1: invalid type"));
    assert!(complaint("").contains("cut short"));
    assert!(complaint(&"[".repeat(100_000)).contains("cut short"));
}

#[test]
fn damaged_data_sets_are_refused() {
    let instances = "refcoco/instances.json";
    let complaint = |name: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let root = copy_of_refcoco();
        let path = root.path().join(name);
        let changed = change(fs::read(&path).unwrap());
        fs::write(&path, changed).unwrap();
        scored(root.path(), refcoco_val(), &predictions("refcoco_val")).unwrap_err()
    };
    let halved = |bytes: Vec<u8>| bytes[..bytes.len() / 2].to_vec();
    assert!(complaint(instances, &halved).contains("cut short"));
    assert_says(complaint("refcoco/refs(unc).p", &halved), &["refs(unc).p"]);
    // What `pickle.loads` would run: cos\nsystem\n(S'id'\ntR.
    let malicious = complaint("refcoco/refs(unc).p", &|_| b"cos\nsystem\n(S'id'\ntR.".to_vec());
    assert!(malicious.contains("os.system") || malicious.contains("os system"), "{malicious}");

    let odd = "even number of coordinates (x0, y0, x1, y1, ...), found 7";
    for (segmentation, words) in [
        (json!([[1, 2, 3, 4, 5, 6, 7]]), &["annotations[0]", odd][..]),
        (json!({"size": [9, 9], "counts": [80]}), &["annotations[0]", "found a sum of 80"]),
        (json!({"size": [9, 9], "counts": "5"}), &["annotation 50 of image 1000"]),
        (json!([[1, 2, 1e300, 4, 5, 6]]), &["annotations[0]", "coordinate 2 within"]),
    ] {
        let changed = |bytes: Vec<u8>| {
            let mut all: Value = serde_json::from_slice(&bytes).unwrap();
            all["annotations"][0]["segmentation"] = segmentation.clone(); // of ref 0, in val
            all.to_string().into_bytes()
        };
        assert_says(complaint(instances, &changed), words);
    }
}

#[test]
fn a_contradiction_is_refused_and_the_way_out_is_named() {
    let root = copy_of_refcoco();
    let path = root.path().join("refcoco/instances.json");
    edit_json(&path, |all| all["annotations"][0]["image_id"] = json!(1007));
    let file = predictions("refcoco_val");
    let mut score = command("score", root.path(), "refcoco", "val");
    let message = failure(score.args(["--json", "--predictions"]).arg(&file));
    assert_says(message, &["ref 0", "--skip-contradictions"]);
}

/// Without images there are numbers and charts, and the page says why there are no pictures.
#[test]
fn a_report_does_without_images() {
    let root = copy_of_refcoco();
    let pages = TempDir::new().unwrap();
    let file = predictions("refcoco_val");
    let page = |data: &Path| {
        let mut score = command("score", data, "refcoco", "val");
        printed(score.arg("--predictions").arg(&file).arg("--report").arg(pages.path()));
        fs::read_to_string(pages.path().join("index.html")).unwrap()
    };
    let without = page(root.path());
    assert!(without.contains("None: the images") && !without.contains("<img"));
    assert!(without.contains("protocol <strong>standard</strong>"));
    assert!(without.contains("<td>81.0</td>"), "the paper's cIoU");
    let with = page(&fixtures());
    assert!(with.matches("<img src=\"data:image/jpeg;base64,").count() >= 3 * 9);
    assert!(!with.contains("src=\"http") && !with.contains("<script"));
    assert!(with.contains("&lt;b&gt;") && !with.contains("<b>"), "words are no markup");
}

/// The annotations of RefCOCO, without images.
fn copy_of_refcoco() -> TempDir {
    let root = TempDir::new().unwrap();
    copy_folder(&fixtures().join("refcoco"), &root.path().join("refcoco"));
    root
}
