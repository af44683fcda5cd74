//! `score` against NumPy and pycocotools on data sets with every oddity
//! (`tests/oracle/eval_fixtures.py` writes both), and what it says of damaged ones.

use std::fs;

use mllmseg::evaluate::score;
use serde_json::json;

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
        serde_json::from_str(&printed(score.arg("--json").arg("--predictions").arg(file))).unwrap()
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

    let missing = complaint(&all[2..]);
    assert!(missing.contains("each of 9 expressions, but 2 have none"), "{missing}");
    for entry in &all[..2] {
        assert!(missing.contains(&ids(entry).replace(',', "")), "{missing}");
    }
    let mut doubled = all.to_vec();
    doubled.push(all[3].clone());
    let doubled = complaint(&doubled);
    assert!(doubled.contains(&ids(&all[3])) && doubled.contains("a second entry"), "{doubled}");
    let mut unknown = all.to_vec();
    unknown[4]["sent_id"] = json!(4711);
    let unknown = complaint(&unknown);
    assert!(unknown.contains("sent_id 4711: refcoco val has no such expression"), "{unknown}");

    // What is there can be scored when that is asked for.
    let file = folder.path().join("p.json");
    fs::write(&file, json!(&all[2..]).to_string()).unwrap();
    let benchmark = Benchmark::open(&fixtures(), refcoco_val()).unwrap();
    let summary = score(&benchmark.selection().unwrap(), &file, true).unwrap().summary;
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
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut entries = entries.clone();
        change(&mut entries[1]);
        complaint(&entries.to_string())
    };
    let [ref_id, sent_id] = ["ref_id", "sent_id"].map(|key| entries[1][key].clone());
    let named = format!("ref_id {ref_id}, sent_id {sent_id}");

    let sum = changed(&|e| e["segmentation"]["counts"] = json!([5, 6]));
    assert!(sum.contains(&named) && sum.contains("found a sum of 11"), "{sum}");
    let size = changed(&|e| e["segmentation"]["size"] = json!([3, 4]));
    assert!(size.contains(&named) && size.contains("found 3 x 4"), "{size}");
    let huge = changed(&|e| e["segmentation"]["size"] = json!([4000000000u32, 4000000000u32]));
    assert!(huge.contains(&named), "{huge}");
    let garbled = changed(&|e| e["segmentation"]["counts"] = json!("~~~"));
    assert!(garbled.contains(&named) && garbled.contains("RLE string"), "{garbled}");
    let field = changed(&|e| e["segmentation"] = json!(null));
    assert!(field.contains("predictions[1]"), "{field}");
    let text_id = changed(&|e| e["ref_id"] = json!("five"));
    assert!(text_id.contains("predictions[1]") && text_id.contains("five"), "{text_id}");

    text.truncate(text.len() / 2);
    assert!(complaint(&text).contains("cut short"));
    assert!(complaint("{}").contains("line 1: missing field `ref_id`"));
    assert!(complaint("7").contains("line 1: invalid type"));
    assert!(complaint("").contains("cut short"));
    assert!(complaint(&"[".repeat(100_000)).contains("invalid type: sequence"));
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
    let pickle = complaint("refcoco/refs(unc).p", &halved);
    assert!(pickle.contains("refs(unc).p"), "{pickle}");
    // What `pickle.loads` would run: cos\nsystem\n(S'id'\ntR.
    let malicious = complaint("refcoco/refs(unc).p", &|_| b"cos\nsystem\n(S'id'\ntR.".to_vec());
    assert!(malicious.contains("os.system") || malicious.contains("os system"), "{malicious}");

    let annotation = |change: &dyn Fn(&mut Value)| {
        complaint(instances, &|bytes| {
            let mut all: Value = serde_json::from_slice(&bytes).unwrap();
            change(&mut all["annotations"][0]); // of ref 0, which is in val
            all.to_string().into_bytes()
        })
    };
    let odd = annotation(&|a| a["segmentation"] = json!([[1, 2, 3, 4, 5, 6, 7]]));
    assert!(
        odd.contains("annotations[0]")
            && odd.contains("even number of coordinates (x0, y0, x1, y1, ...), found 7"),
        "{odd}"
    );
    let sum = annotation(&|a| a["segmentation"] = json!({"size": [9, 9], "counts": [80]}));
    assert!(sum.contains("annotations[0]") && sum.contains("found a sum of 80"), "{sum}");
    let compressed = annotation(&|a| a["segmentation"] = json!({"size": [9, 9], "counts": "5"}));
    assert!(compressed.contains("annotation 50 of image 1000"), "{compressed}");
    let far = annotation(&|a| a["segmentation"] = json!([[1, 2, 1e300, 4, 5, 6]]));
    assert!(far.contains("annotations[0]") && far.contains("coordinate 2 within"), "{far}");
}

#[test]
fn a_contradiction_is_refused_and_the_way_out_is_named() {
    let root = copy_of_refcoco();
    let path = root.path().join("refcoco/instances.json");
    let mut all = read_json(&path);
    all["annotations"][0]["image_id"] = json!(1007);
    fs::write(&path, all.to_string()).unwrap();
    let file = predictions("refcoco_val");
    let mut score = command("score", root.path(), "refcoco", "val");
    let output = score.args(["--json", "--predictions"]).arg(&file).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(message.contains("ref 0") && message.contains("--skip-contradictions"), "{message}");
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
