//! Data sets as other tools write them: what is read, what is counted, and what is refused.
//! `tests/oracle/numpy_pickles.py` wrote the pickles.

use std::fs;
use std::path::Path;

use image::RgbImage;
use mllmseg_data::refer::*;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

const NAME: &str = "a.png";
/// A square of 2 x 2 in the corner of an image of 3 x 4.
const SQUARE: [u8; 12] = [1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0];

/// A data set of one image, annotation and ref.
struct Place {
    root: TempDir,
    instances: Json,
    refs: Json,
}

impl Place {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        fs::create_dir(root.path().join("refcoco")).unwrap();
        let images = Dataset::RefCoco.images_folder(root.path());
        fs::create_dir_all(images.join("sub")).unwrap();
        for name in [NAME, "sub/b.png"] {
            RgbImage::new(4, 3).save(images.join(name)).unwrap();
        }
        let instances = json!({
            "images": [{"id": 1, "file_name": NAME, "width": 4, "height": 3}],
            "annotations": [{"id": 5, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [0, 0, 2, 2],
                             "segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]]}],
            "categories": [{"id": 1, "name": "thing"}],
        });
        let refs = json!([{"ref_id": 1, "image_id": 1, "ann_id": 5, "split": "val",
                           "sentences": [{"sent_id": 7, "sent": "x", "raw": "X"}]}]);
        Self { root, instances, refs }
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join("refcoco").join(name)
    }

    fn write(&self) {
        fs::write(self.file("instances.json"), self.instances.to_string()).unwrap();
        fs::write(self.file("refs(unc).json"), self.refs.to_string()).unwrap();
    }

    fn open(&self) -> Result<ReferDataset, ReferError> {
        ReferDataset::open(self.root.path(), Dataset::RefCoco, None)
    }

    /// Opens it, compares its mask with the square, and checks that `strict` refuses what is counted.
    fn reads(&self, expected: &[(Leniency, usize)]) -> ReferDataset {
        let data = self.open().unwrap();
        let found: Vec<_> =
            data.leniencies().iter().map(|(kind, count, _)| (kind, count)).collect();
        assert_eq!(found, expected);
        let items = data.items(Split::Val).unwrap();
        let targets = items[0].expressions[0].targets;
        let mask = data.mask(items[0].image, targets).unwrap().unwrap();
        assert_eq!(mask.to_bytes(1), SQUARE);
        assert_eq!(data.annotated_box(targets, Some(&mask)).unwrap(), Some([0.0, 0.0, 2.0, 2.0]));
        assert_eq!(data.read_image(items[0].image).unwrap().dimensions(), (4, 3));
        let strict = OpenOptions { strict: true, ..OpenOptions::default() };
        let refused = ReferDataset::open_with(self.root.path(), Dataset::RefCoco, strict);
        assert_eq!(refused.is_err(), !expected.is_empty());
        drop(items);
        data
    }
}

#[test]
fn keys_are_read_as_tools_write_them() {
    use Leniency::*;
    let (whole, text) = (json!(4.0), json!("0000000000004"));
    let cases = [
        ("/annotations/0/iscrowd", json!(false), CrowdFlag),
        ("/annotations/0/iscrowd", json!("no"), CrowdFlag),
        ("/annotations/0/bbox", Json::Null, NoBox),
        ("/annotations/0/bbox", json!([]), NoBox),
        ("/annotations/0/bbox", json!({"x": 1}), NoBox),
        ("/annotations/0/category_id", Json::Null, NoCategory),
        ("/annotations/0/category_id", json!("cup"), NoCategory),
        ("/annotations/0/id", json!("005"), NumberAsText),
        ("/annotations/0/id", json!(5.0), WholeFloat),
        ("/annotations/0/image_id", json!("1"), NumberAsText),
        ("/images/0/id", json!("000000000001"), NumberAsText),
        ("/images/0/width", whole, WholeFloat),
        ("/images/0/width", text, NumberAsText),
        ("/annotations/0/segmentation", json!([[0, 0], [2, 0], [2, 2], [0, 2]]), PointPairs),
        ("/annotations/0/segmentation", json!([[[0, 0], [2, 0], [2, 2], [0, 2]]]), PointPairs),
        ("/annotations/0/segmentation", json!({"size": [3, 4.0], "counts": "02106"}), WholeFloat),
        (
            "/annotations/0/segmentation",
            json!({"size": [3, 4], "counts": [0, 2, 1.0, 2, 7]}),
            WholeFloat,
        ),
        ("/annotations/0/segmentation", json!({"size": [3, 4], "counts": "b'02106'"}), BytesAsText),
        ("/images/0/file_name", json!("./a.png"), FileName),
        ("/images/0/file_name", json!("sub\\b.png"), FileName),
        ("/images/0/file_name", json!("/data/coco/sub/b.png"), FileName),
        ("/images/0/file_name", json!("D:\\coco\\a.png"), FileName),
        ("/images/0/file_name", json!("http://images.cocodataset.org/train2014/a.png"), FileName),
        ("/images/0/file_name", json!("A.PNG"), LetterCase),
    ];
    Place::new().reads_after(|_| {}, &[]);
    for (key, value, kind) in cases {
        Place::new().reads_after(
            |place| *place.instances.pointer_mut(key).unwrap() = value.clone(),
            &[(kind, 1)],
        );
    }
    for (key, kind) in [("bbox", Some(NoBox)), ("category_id", Some(NoCategory)), ("iscrowd", None)]
    {
        let expected: Vec<_> = kind.into_iter().map(|kind| (kind, 1)).collect();
        Place::new().reads_after(
            |place| drop(place.instances["annotations"][0].as_object_mut().unwrap().remove(key)),
            &expected,
        );
    }
    let cases = [
        ("/0/split", Json::Null, NoSplit),
        ("/0/image_id", json!(1.0), WholeFloat),
        ("/0/sentences/0/sent_id", json!("7"), NumberAsText),
    ];
    for (key, value, kind) in &cases[1..] {
        Place::new().reads_after(
            |place| *place.refs.pointer_mut(key).unwrap() = value.clone(),
            &[(*kind, 1)],
        );
    }
    let mut place = Place::new();
    *place.refs.pointer_mut(cases[0].0).unwrap() = cases[0].1.clone();
    place.write();
    let data = place.open().unwrap();
    assert_eq!(data.leniencies().iter().next().unwrap().0, NoSplit);
    let error = data.items(Split::Val).unwrap_err().to_string();
    assert!(error.contains("its refs are split as no split (1)"), "{error}");
}

impl Place {
    fn reads_after(mut self, change: impl FnOnce(&mut Self), expected: &[(Leniency, usize)]) {
        change(&mut self);
        self.write();
        self.reads(expected);
    }
}

/// Nobody asks for it, so nothing in it matters.
#[test]
fn records_that_no_ref_names_do_not_stop_a_data_set() {
    let mut place = Place::new();
    let odd = [
        json!({"id": 6, "segmentation": null}),
        json!({}),
        json!(7),
        json!({"id": {"$oid": "6"}, "bbox": "x"}),
    ];
    place.instances["annotations"].as_array_mut().unwrap().extend(odd.clone());
    place.instances["images"].as_array_mut().unwrap().extend(odd);
    place.instances["categories"] = json!([{"id": null}, 3]);
    place.write();
    place.reads(&[]);
}

#[test]
fn what_python_and_windows_write_into_json_is_read() {
    let place = Place::new();
    place.write();
    let text = fs::read_to_string(place.file("instances.json")).unwrap();
    let with = |old: &str, new: &str| {
        fs::write(place.file("instances.json"), text.replace(old, new)).unwrap()
    };
    with(
        "\"category_id\":1",
        "\"area\": NaN, \"score\": -Infinity, \"name\": \"a \\\" NaN\", \"category_id\": 1",
    );
    place.reads(&[(Leniency::NotANumber, 1)]);
    with("[0,0,2,2]", "[0, 0, NaN, Infinity]");
    place.reads(&[(Leniency::NotANumber, 1), (Leniency::NoBox, 1)]);
    fs::write(place.file("instances.json"), format!("\u{feff}{text}")).unwrap();
    place.reads(&[(Leniency::ByteOrderMark, 1)]);
    let utf16: Vec<u8> =
        format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bytes in [&utf16[..], &utf16[2..]] {
        fs::write(place.file("instances.json"), bytes).unwrap();
        let error = place.open().unwrap_err().to_string();
        assert!(error.contains("instances.json") && error.contains("UTF-16"), "{error}");
    }
}

#[test]
fn sentences_are_found_where_tools_put_them() {
    use Leniency::*;
    let sentences = |sentences: Json| {
        let mut place = Place::new();
        place.refs[0]["sentences"] = sentences;
        place.write();
        let data = place.open().unwrap();
        let texts: Vec<_> = data.all_refs()[0]
            .sentences
            .iter()
            .map(|one| (one.sent_id, one.sent.to_string()))
            .collect();
        let kinds: Vec<_> =
            data.leniencies().iter().map(|(kind, count, _)| (kind, count)).collect();
        (texts, kinds)
    };
    let x = || "x".to_owned();
    assert_eq!(sentences(json!([{"sent_id": 3, "raw": "x"}])), (vec![(3, x())], vec![]));
    assert_eq!(
        sentences(json!([{"sent_id": 3, "sentence": "x"}])),
        (vec![(3, x())], vec![(SentenceKey, 1)])
    );
    assert_eq!(
        sentences(json!([{"sent_id": 3, "tokens": ["red", "cup"]}])),
        (vec![(3, "red cup".into())], vec![(SentenceKey, 1)])
    );
    assert_eq!(
        sentences(json!([{"sent_id": 3, "sent": "x"}, "x", {"sent": "x"}])),
        (vec![(3, x()), (4, x()), (5, x())], vec![(SentenceKey, 1), (NoSentenceId, 2)])
    );
    let mut place = Place::new();
    let entry = place.refs[0].as_object_mut().unwrap();
    entry.remove("sentences");
    entry.insert("caption".into(), json!("x"));
    place.write();
    assert_eq!(&*place.open().unwrap().all_refs()[0].sentences[0].sent, "x");
    place.refs[0].as_object_mut().unwrap().remove("caption");
    place.write();
    let error = place.open().unwrap_err().to_string();
    assert!(error.contains("in refs[0]: ref 1: missing field `sentences`"), "{error}");
}

#[test]
fn refs_may_be_wrapped_or_on_lines_but_not_in_columns() {
    let mut place = Place::new();
    let list = place.refs.clone();
    place.refs = json!({"info": {}, "refs": list});
    place.write();
    place.reads(&[(Leniency::Wrapped, 1)]);
    fs::write(
        place.file("refs(unc).json"),
        format!("{}\n{}\n", list[0], {
            let mut second = list[0].clone();
            second["ref_id"] = json!(2);
            second["sentences"][0]["sent_id"] = json!(8);
            second
        }),
    )
    .unwrap();
    assert_eq!(place.reads(&[(Leniency::Wrapped, 1)]).all_refs().len(), 2);
    fs::write(place.file("refs(unc).json"), r#"{"ref_id": {"0": 1}, "image_id": {"0": 1}}"#)
        .unwrap();
    let error = place.open().unwrap_err().to_string();
    assert!(error.contains("orient=\"records\""), "{error}");
}

#[test]
fn truths_that_enclose_nothing_are_named() {
    for segmentation in [json!([]), json!([[1, 1, 2, 2]]), json!([[1, 1], [2, 2]])] {
        let mut place = Place::new();
        place.instances["annotations"][0]["segmentation"] = segmentation;
        place.write();
        let notes = place.open().unwrap().notes();
        assert!(
            notes.len() == 1
                && notes[0].contains("1 annotations enclose nothing")
                && notes[0].ends_with(": 5")
        );
    }
}

/// Scalars, arrays and bytes, in every protocol and byte order; what else NumPy and pandas write is refused.
#[test]
fn numpy_values_are_plain_data() {
    let fixture: Json = serde_json::from_str(include_str!("fixtures/numpy_pickles.json")).unwrap();
    let bytes = |hex: &Json| -> Vec<u8> {
        let hex = hex.as_str().unwrap();
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    };
    let decode = |bytes: &[u8]| {
        mllmseg_pickle::from_slice::<Json>(bytes, &mllmseg_pickle::Limits::default())
    };
    let cases = fixture["read"].as_array().unwrap();
    assert!(cases.len() > 60);
    for case in cases {
        let pickle = bytes(&case["pickle"]);
        assert_eq!(decode(&pickle).unwrap(), case["value"], "{}", case["name"]);
        for end in 0..pickle.len() {
            assert!(decode(&pickle[..end]).is_err());
        }
        for at in 0..pickle.len() {
            let mut changed = pickle.clone();
            changed[at] ^= 0x15;
            let _ = decode(&changed); // a value or an error, no panic
        }
    }
    for case in fixture["refused"].as_array().unwrap() {
        let error = decode(&bytes(&case["pickle"])).unwrap_err().to_string();
        assert!(!error.contains("no pickle opcode"), "{}: {error}", case["name"]);
    }
}

#[test]
fn the_fixtures_need_no_leniency() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/refer");
    for dataset in [Dataset::RefCocoG, Dataset::GRefCoco] {
        let data = ReferDataset::open(&root, dataset, None).unwrap();
        assert!(data.leniencies().is_empty(), "{dataset}: {}", data.leniencies());
    }
}
