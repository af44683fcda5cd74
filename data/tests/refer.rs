//! The readers of the RefCOCO family against what CPython reads from the same files
//! (`tests/oracle/refer_fixtures.py` writes both).

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use image::RgbImage;
use mllmseg_data::mask::{EncodedRle, RleCounts, Segmentation};
use mllmseg_data::refer::*;
use serde_json::Value as Json;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/refer")
}

fn expected(name: &str) -> Json {
    serde_json::from_slice(&fs::read(fixtures().join(name)).unwrap()).unwrap()
}

fn open(dataset: Dataset) -> ReferDataset {
    ReferDataset::open(&fixtures(), dataset, None).unwrap()
}

/// A ref in the form of `expected.json`.
fn as_json(entry: &RefExpressions) -> Json {
    let ann_ids: Vec<_> =
        entry.ann_ids.iter().map(|id| id.to_string().trim_matches('`').to_owned()).collect();
    let sentences: Vec<_> =
        entry.sentences.iter().map(|s| serde_json::json!([s.sent_id, &*s.raw, &*s.sent])).collect();
    serde_json::json!({
        "ref_id": entry.ref_id, "image_id": entry.image_id, "split": &*entry.split,
        "file_name": &*entry.file_name, "ann_ids": ann_ids, "sentences": sentences,
    })
}

fn run_lengths(size: [u32; 2], counts: RleCounts) -> MaskSource {
    MaskSource::Inline(Segmentation::Rles(vec![EncodedRle { size, counts }]))
}

#[test]
fn refs_and_splits_are_those_that_cpython_reads() {
    let all = expected("expected.json");
    for dataset in Dataset::ALL {
        let read = open(dataset);
        let expected = &all[dataset.name()];
        let refs: Vec<_> = read.all_refs().iter().map(as_json).collect();
        assert_eq!(Json::from(refs), expected["refs"], "{dataset}");
        for &split in Split::ALL {
            let ids: Vec<_> = read.refs(split).map(|entry| entry.ref_id).collect();
            assert_eq!(Json::from(ids), expected["splits"][split.name()], "{dataset} {split}");
        }
        assert_eq!(read.skipped(), &Skipped::default());
    }
}

#[test]
fn python_2_bytes_are_utf8_or_latin1() {
    for dataset in [Dataset::RefCoco, Dataset::RefCocoPlus] {
        let read = open(dataset);
        let sentences = &read.all_refs()[0].sentences;
        assert_eq!(&*sentences[1].sent, "café sign"); // e9 in the file
        assert_eq!(&*sentences[2].sent, "café bench"); // c3 a9 in the file
        assert_eq!(&*read.all_refs()[1].sentences[0].sent, "a unicode 一 😀 string");
        assert_eq!(&*read.all_refs()[2].sentences[0].sent, "it's a \"quoted\" \\ one\n");
    }
}

#[test]
fn instances_hold_every_kind_of_segmentation() {
    let read = open(Dataset::RefCoco);
    assert_eq!(read.instances().annotations().len(), 5, "31 is named by no ref");
    assert_eq!(read.instances().images().len(), 3);
    let square = vec![1.5, 1.5, 4.5, 1.5, 4.5, 4.5, 1.5, 4.5].into_boxed_slice();
    let polygons = |parts| MaskSource::Inline(Segmentation::Polygons(parts));
    let by_id = |id: i64| read.annotations(&[id.into()]).unwrap()[0];
    let dog = by_id(1719310);
    assert_eq!((dog.image_id, dog.category_id, dog.is_crowd), (581857, Some(18), false));
    assert_eq!(dog.bbox, Some([1.0, 2.5, 3.0, 4.25]));
    assert_eq!(dog.segmentation, polygons(vec![square.clone()]));
    assert_eq!(read.instances().category(18), Some("dog"));
    assert_eq!(read.instances().category(3), Some("cár"));
    assert!(by_id(77).is_crowd);
    let runs = |counts| run_lengths([6, 8], counts);
    assert_eq!(by_id(77).segmentation, runs(RleCounts::Runs([10, 5, 33].into())));
    assert_eq!(by_id(78).segmentation, runs(RleCounts::Compressed("R1<0".into())));
    let parts = vec![square, vec![0.0, 0.0, 9.0, 9.0].into()];
    assert_eq!(by_id(79).segmentation, polygons(parts));
    assert_eq!(by_id(900100006700).segmentation, polygons(Vec::new()));
    let dog_image = read.image(581857).unwrap();
    assert_eq!(&*dog_image.file_name, "COCO_train2014_000000581857.jpg");
    assert_eq!((dog_image.width, dog_image.height), (640, 427));
    let all = Instances::read(&fixtures().join("refcoco/instances.json"), None).unwrap();
    assert_eq!((all.images().len(), all.annotations().len()), (4, 6));
}

#[test]
fn refclef_ids_are_text_and_run_lengths_come_in_a_list() {
    let read = open(Dataset::RefClef);
    let target = &read.all_refs()[0].ann_ids;
    assert_eq!(target, &[AnnotationId::Name("8756_2".into())]);
    let annotation = read.annotations(target).unwrap()[0];
    let expected = run_lengths([3, 4], RleCounts::Compressed("014".into()));
    assert_eq!(annotation.segmentation, expected);
    assert_eq!(&*read.image(112).unwrap().file_name, "00/112.jpg");
}

/// Masks in COCO's run lengths, refs without a target beside annotations, and folders of their own.
#[test]
fn other_sets_of_the_same_layout_are_read() {
    let read = open(Dataset::RrsisD);
    let items = read.items(Split::Test).unwrap();
    let (image, expression) = (items[0].image, items[0].expressions[0]);
    assert_eq!(expression.text, "a stadium on the upper left");
    let mask = read.mask(image, expression.targets).unwrap().unwrap();
    assert_eq!((mask.area(), mask.bounding_box()), (4, Some([1, 0, 3, 3]))); // after 3 pixels, before 5
    assert!(Dataset::RrsisD.images_folder("r".as_ref()).ends_with("images/rrsisd/JPEGImages"));

    let read = open(Dataset::RefCocoM);
    let items = read.items(Split::Val).unwrap();
    let texts: Vec<_> = items[0].expressions.iter().map(|one| (one.sent_id, one.text)).collect();
    assert_eq!(texts, [(0, "the left man"), (1, "him")]);
    assert!(!read.generalized(Split::Val) && read.leniencies().is_empty());

    let read = open(Dataset::RefZom);
    let items = read.items(Split::Test).unwrap();
    let targets: Vec<_> = items[0].expressions.iter().map(|one| one.targets.len()).collect();
    assert_eq!(targets, [2, 0]);
    assert!(read.generalized(Split::Test));
}

#[test]
fn items_group_expressions_by_image() {
    let read = open(Dataset::GRefCoco);
    let items = read.items(Split::Val).unwrap();
    assert_eq!(items.len(), 1);
    assert_eq!(items[0].image.id, 9);
    let rows: Vec<_> = items[0]
        .expressions
        .iter()
        .map(|e| (e.ref_id, e.sent_id, e.text, e.targets.len(), e.no_target()))
        .collect();
    assert_eq!(
        rows,
        [
            (10, 20, "both 一二", 2, false),
            (10, 21, "two \"people\" \\here", 2, false),
            (11, 22, "cat", 0, true),
        ]
    );
    // Of testA, ref 12 has no sentences.
    let items = read.items(Split::TestA).unwrap();
    assert_eq!((items.len(), items[0].expressions[0].text), (1, "Only raw"));
    let error = read.items(Split::TestC).unwrap_err().to_string();
    assert!(error.contains("`testC`") && error.contains("testA (2), val (2)"), "{error}");
}

#[test]
fn every_pickle_protocol_decodes_alike() {
    let expected = expected("protocols/expected.json");
    for protocol in 0..=5 {
        let bytes = fs::read(fixtures().join(format!("protocols/p{protocol}.pickle"))).unwrap();
        assert_eq!(unpickled(&bytes), expected, "protocol {protocol}");
    }
    let bytes = fs::read(fixtures().join("protocols/bytes3.pickle")).unwrap();
    assert_eq!(unpickled(&bytes), serde_json::json!(["café", "z".repeat(300), "x"]));
    let bytes = fs::read(fixtures().join("protocols/bytes_by_call.pickle")).unwrap();
    assert_eq!(unpickled(&bytes), serde_json::json!("x"));
}

fn unpickled(bytes: &[u8]) -> Json {
    mllmseg_pickle::from_slice(bytes, &mllmseg_pickle::Limits::default()).unwrap()
}

#[test]
fn names_are_read_and_unknown_ones_list_the_known() {
    let parsed: HashMap<_, _> = Dataset::ALL
        .iter()
        .map(|d| (d.to_string(), d.name().parse::<Dataset>().unwrap()))
        .collect();
    assert_eq!(parsed["refcoco+"], Dataset::RefCocoPlus);
    let error = "refcoco3".parse::<Dataset>().unwrap_err().to_string();
    assert!(error.contains("refcoco, refcoco+, refcocog, refclef, grefcoco"), "{error}");
    assert_eq!("testB".parse::<Split>().unwrap(), Split::TestB);
    assert!("testD".parse::<Split>().unwrap_err().to_string().contains("testA, testB, testC"));
    assert_eq!(Dataset::RefCocoG.default_split_by(), "umd");
}

#[test]
fn a_missing_refs_file_lists_those_that_are_there() {
    let google = ReferDataset::open(&fixtures(), Dataset::RefCoco, Some("google"));
    let error = google.unwrap_err().to_string();
    assert!(error.contains("refs(google).p") && error.contains("refs(unc).p"), "{error}");
    let escape = ReferDataset::open(&fixtures(), Dataset::RefCoco, Some("../../x"));
    assert!(matches!(escape, Err(ReferError::NoSuch { .. })));
}

#[test]
fn missing_images_are_named_or_skipped_and_counted() {
    let root = tempfile::tempdir().unwrap();
    for folder in ["refcoco", "images/mscoco/images/train2014"] {
        fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    for file in ["refs(unc).p", "instances.json"] {
        let from = fixtures().join("refcoco").join(file);
        fs::copy(from, root.path().join("refcoco").join(file)).unwrap();
    }
    let folder = Dataset::RefCoco.images_folder(root.path());
    fs::write(folder.join("COCO_train2014_000000000009.jpg"), b"").unwrap();
    let read = ReferDataset::open(root.path(), Dataset::RefCoco, None).unwrap();
    let mut items = read.items(Split::Test).unwrap();
    assert_eq!(items.iter().map(|item| item.image.id).collect::<Vec<_>>(), [9, 25]);
    let gone = folder.join("COCO_train2014_000000000025.jpg");
    let error = read.image_path(items[1].image).unwrap_err();
    assert!(error.to_string().contains(gone.to_str().unwrap()), "{error}");
    assert_eq!(read.skip_missing_images(&mut items), [gone]);
    assert_eq!(items.len(), 1);
    assert!(read.image_path(items[0].image).is_ok());
    let image = items[0].image;
    let path = read.image_path(image).unwrap();
    RgbImage::new(8, 6).save(&path).unwrap();
    assert_eq!(read.read_image(image).unwrap().dimensions(), (8, 6));
    RgbImage::new(6, 8).save(&path).unwrap();
    let error = read.read_image(image).unwrap_err().to_string();
    assert!(error.contains("annotated as 8x6, but the file is 6x8"), "{error}");
    fs::write(&path, b"").unwrap();
    assert!(matches!(read.read_image(image), Err(ReferError::Image(_))));
}
