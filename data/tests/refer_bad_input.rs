//! Damaged, contradictory and malicious data sets: a clear error, never a panic, a hang or unbounded memory.

use std::fs;
use std::path::Path;

use mllmseg_data::refer::*;
use mllmseg_pickle::{Limits, from_slice};
use serde::de::IgnoredAny;
use serde_json::Value as Json;

fn decode(bytes: &[u8]) -> Result<Json, PickleError> {
    from_slice(bytes, &Limits::default())
}

fn refusal(bytes: &[u8]) -> String {
    decode(bytes).unwrap_err().to_string()
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/refer").join(name)).unwrap()
}

/// Opens a data set made of these two files.
fn open(refs: (&str, &[u8]), instances: &[u8]) -> Result<ReferDataset, ReferError> {
    open_with(refs, instances, Contradictions::Refuse)
}

fn open_with(
    (name, refs): (&str, &[u8]),
    instances: &[u8],
    contradictions: Contradictions,
) -> Result<ReferDataset, ReferError> {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("grefcoco")).unwrap();
    fs::write(root.path().join("grefcoco").join(name), refs).unwrap();
    fs::write(root.path().join("grefcoco/instances.json"), instances).unwrap();
    let options = OpenOptions { contradictions, ..OpenOptions::default() };
    ReferDataset::open_with(root.path(), Dataset::GRefCoco, options)
}

/// What is wrong with a data set of these refs.
fn fault(refs: &str, instances: &[u8]) -> String {
    open((JSON, refs.as_bytes()), instances).unwrap_err().to_string()
}

const JSON: &str = "grefs(unc).json";
const PICKLE: &str = "grefs(unc).p";

#[test]
fn globals_and_calls_are_refused_by_name_and_place() {
    // os.system, as an exploit writes it in protocol 0.
    let error = refusal(b"cos\nsystem\n(S'echo hi'\ntR.");
    assert!(error.contains("0x63 at byte 0") && error.contains("`os.system`"), "{error}");
    let error = refusal(b"(S'echo hi'\nios\nsystem\n.");
    assert!(error.contains("0x69 at byte 12") && error.contains("`os.system`"), "{error}");
    let error = refusal(b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02hi\x85R.");
    assert!(error.contains("0x93 at byte 14") && error.contains("`os.system`"), "{error}");
    let error = refusal(b"cpandas.core.frame\nDataFrame\n)R.");
    assert!(
        error.contains("`pandas.core.frame.DataFrame`") && error.contains("nothing was run"),
        "{error}"
    );
    for bytes in
        [&b"NNR."[..], b"NNb.", b"(No.", b"Pid\n.", b"NQ.", b"\x82\x01.", b"\x8f.", b"\x97."]
    {
        assert!(matches!(decode(bytes), Err(PickleError::Forbidden { .. })), "{bytes:?}");
    }
    assert_eq!(decode(b"\x80\x02\xff"), Err(PickleError::UnknownOpcode { offset: 2, byte: 0xff }));
}

#[test]
fn huge_lengths_allocate_nothing() {
    let pickles: [&[u8]; 5] = [
        b"T\xff\xff\xff\xffx",
        b"X\xff\xff\xff\x7fx",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffx",
        b"\x8b\xff\xff\xff\x7fx",
        b"\x95\xff\xff\xff\xff\xff\xff\xff\x7fN.",
    ];
    for bytes in pickles {
        assert!(matches!(decode(bytes), Err(PickleError::Truncated { .. })), "{bytes:?}");
    }
    assert_eq!(decode(b"Nr\xff\xff\xff\xff."), Ok(Json::Null)); // a key of the memo
    assert!(matches!(decode(b"Np99999999999\n."), Err(PickleError::Malformed { .. })));
    let long = [&b"\x8a\x09"[..], &[1; 9], b"."].concat();
    assert!(refusal(&long).contains("at most 8 bytes"));
    assert!(refusal(b"L99999999999999999999L\n.").contains("64 bits"));
}

#[test]
fn nests_cycles_and_bombs_are_bounded() {
    // A million lists, each in the next; then marks, then tuples.
    let lists = [vec![b']'; 1_000_000], vec![b'a'; 999_999], b".".to_vec()].concat();
    assert!(refusal(&lists).contains("nested containers"));
    assert!(refusal(&vec![b'('; 1_000_000]).contains("cut short"));
    let tuples = [b"N".to_vec(), vec![0x85; 1_000_000], b".".to_vec()].concat();
    assert!(refusal(&tuples).contains("nested containers"));
    // A container that holds itself nests without end.
    for cycle in [&b"]q\x00h\x00a."[..], b"}q\x00U\x01kh\x00s."] {
        assert!(matches!(decode(cycle), Err(PickleError::TooLarge { .. })), "{cycle:?}");
    }
    // A billion laughs: 40 levels, each holding the one below ten times.
    let mut laughs = b"]q\x00".to_vec();
    for level in 1..40_u8 {
        laughs.extend([b"]q".as_slice(), &[level], b"("].concat());
        laughs.extend([b'h', level - 1].repeat(10));
        laughs.push(b'e');
    }
    laughs.push(b'.');
    assert!(refusal(&laughs).contains("once they are written out"));
    // What is ignored is not read out, so 40 lists stay 40 lists.
    from_slice::<IgnoredAny>(&laughs, &Limits::default()).unwrap();
    let limits = Limits { max_values: 1000, ..Limits::default() };
    let many = [b"(".to_vec(), vec![b'N'; 2000], b"l.".to_vec()].concat();
    assert!(matches!(from_slice::<Json>(&many, &limits), Err(PickleError::TooLarge { .. })));
}

#[test]
fn shared_text_is_not_written_out_without_bound() {
    // 100 000 sentences that share one text of 1 MB would be 100 GB.
    let mut refs =
        b"(lp0\n(dp1\nS'ref_id'\nI1\nsS'image_id'\nI1\nsS'ann_id'\nI1\nsS'split'\nS'val'\ns"
            .to_vec();
    refs.extend(b"S'sentences'\n(lp2\n(dp3\nS'sent_id'\nI1\nsS'sent'\nS'");
    refs.extend(vec![b'x'; 1_000_000]);
    refs.extend(b"'\nsa");
    refs.extend(b"g3\na".repeat(100_000));
    refs.extend(b"sa.");
    let error = open((PICKLE, &refs), b"{}").unwrap_err().to_string();
    assert!(error.contains("shared text"), "{error}");
}

fn change_a_byte(bytes: &mut [u8], random: &mut u64) {
    *random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    bytes[(*random >> 33) as usize % bytes.len()] = (*random >> 20) as u8;
}

#[test]
fn cut_short_or_changed_pickles_never_panic() {
    for name in ["refcoco/refs(unc).p", "refcoco+/refs(unc).p", "protocols/p4.pickle"] {
        let whole = fixture(name);
        for length in 0..whole.len() {
            assert!(decode(&whole[..length]).is_err(), "{name} cut to {length}");
        }
        let instances = fixture("refcoco/instances.json");
        let mut random = 1;
        for round in 0..whole.len().min(600) {
            let mut changed = whole.clone();
            (0..3).for_each(|_| change_a_byte(&mut changed, &mut random));
            let _ = decode(&changed);
            if round % 20 == 0 {
                let _ = open((PICKLE, &changed), &instances);
            }
        }
    }
}

#[test]
fn cut_short_or_changed_json_never_panics() {
    let refs = fixture("grefcoco/grefs(unc).json");
    let instances = fixture("grefcoco/instances.json");
    let file = tempfile::NamedTempFile::new().unwrap();
    let read_refs_of = |bytes: &[u8]| {
        fs::write(file.path(), bytes).unwrap();
        read_refs(file.path())
    };
    for length in 0..refs.len() {
        assert!(read_refs_of(&refs[..length]).is_err(), "refs cut to {length}");
    }
    let read_instances_of = |bytes: &[u8]| {
        fs::write(file.path(), bytes).unwrap();
        Instances::read(file.path(), None)
    };
    for length in 0..instances.len() {
        assert!(read_instances_of(&instances[..length]).is_err(), "instances cut to {length}");
    }
    let error = read_instances_of(&instances[..1000]).unwrap_err().to_string();
    assert!(error.contains("cut short") && error.contains("byte 1000"), "{error}");
    let mut random = 1;
    for _ in 0..1500 {
        let mut changed = instances.clone();
        change_a_byte(&mut changed, &mut random);
        let _ = read_instances_of(&changed);
    }
}

#[test]
fn deep_long_or_trailing_json_is_refused() {
    let refs = fixture("grefcoco/grefs(unc).json");
    let instances = fixture("grefcoco/instances.json");
    let fails = |instances: &[u8]| open((JSON, &refs), instances).unwrap_err().to_string();
    let deep = [br#"{"info": "#.to_vec(), vec![b'['; 1_000_000]].concat();
    assert!(fails(&deep).contains("cut short"));
    let long = [br#"{"images": [{"file_name": ""#.to_vec(), vec![b'x'; 80 << 20]].concat();
    assert!(fails(&long).contains("longer than"));
    let trailing = fails(&[&instances[..], b" x"].concat());
    assert!(trailing.contains("trailing characters"), "{trailing}");
    assert!(open((JSON, &refs), &[&instances[..], b" \n"].concat()).is_ok());
    // A value to skip may be longer than any record.
    let skipped = [br#"{"info": ["#.to_vec(), vec![b' '; 80 << 20], b"],".to_vec()].concat();
    open((JSON, &refs), &[&skipped, &instances[1..]].concat()).unwrap();
    assert!(fails(b"{}").contains("no list `images`"));
    assert!(fails(br#"{"images": [], "images": []}"#).contains("twice"));
    assert!(fails(b"[]").contains("invalid type: sequence, expected a dict with the lists"));
}

fn instances(images: &str, annotations: &str) -> Vec<u8> {
    format!(r#"{{"images": [{images}], "annotations": [{annotations}]}}"#).into_bytes()
}

const IMAGE: &str = r#"{"id": 1, "file_name": "a.jpg", "width": 4, "height": 3}"#;
const ANNOTATION: &str =
    r#"{"id": 5, "image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "segmentation": []}"#;

fn one_ref(ref_id: i64, image: &str, target: &str, sent_id: i64) -> String {
    format!(
        r#"{{"ref_id": {ref_id}, "image_id": {image}, "ann_id": {target}, "split": "val",
            "sentences": [{{"sent_id": {sent_id}, "sent": "x"}}]}}"#
    )
}

#[test]
fn contradictions_are_named_with_their_file_or_skipped_and_counted() {
    let image2 = IMAGE.replace("\"id\": 1", "\"id\": 2");
    let instances = instances(&format!("{IMAGE}, {image2}"), ANNOTATION);
    let good = one_ref(1, "1", "[5]", 1);
    let cases = [
        (one_ref(2, "1", "[6]", 2), "ref 2: names annotation 6, which"),
        (one_ref(2, "9", "[5]", 2), "ref 2: names image 9, which"),
        (one_ref(2, "2", "5", 2), "its annotation 5 is of image 1"),
        (one_ref(1, "1", "[5]", 2), "an earlier ref has the same ref_id"),
        (one_ref(2, "1", "[5, -1]", 2), "ref 2: names annotation -1"),
    ];
    for (bad, message) in cases {
        let refs = format!("[{good}, {bad}]");
        let error = fault(&refs, &instances);
        assert!(error.contains(message) && error.contains(JSON), "{error}");
        let read = open_with((JSON, refs.as_bytes()), &instances, Contradictions::Skip).unwrap();
        assert_eq!((read.all_refs().len(), read.skipped().refs), (1, 1));
        assert!(read.skipped().examples[0].contains(message));
    }
    let refs = format!("[{good}, {}]", one_ref(2, "1", "[5]", 1));
    let error = fault(&refs, &instances);
    assert!(error.contains("ref 2: sent_id 1 is used by an earlier sentence"), "{error}");
    let read = open_with((JSON, refs.as_bytes()), &instances, Contradictions::Skip).unwrap();
    assert_eq!((read.all_refs().len(), read.skipped().repeated_sentences), (2, 1));
}

#[test]
fn odd_values_are_named_with_their_place() {
    let instances_of = |annotation: &str| instances(IMAGE, annotation);
    let good = instances_of(ANNOTATION);
    let refs = format!("[{}]", one_ref(1, "1", "[5]", 1));
    open((JSON, refs.as_bytes()), &good).unwrap();
    let fails = |annotation: String| fault(&refs, &instances_of(&annotation));
    let cases = [
        ("[[1, 2, 3]]", "even number of coordinates (x0, y0, x1, y1, ...), found 3"),
        (
            r#"{"size": [3, 4], "counts": [5]}"#,
            "sum to 12 (3 x 4, height x width), found a sum of 5",
        ),
        (r#"{"size": [3, 4], "counts": "a~"}"#, "a character from '0' to 'o', found '~'"),
        (r#"{"size": [3, -4], "counts": []}"#, "found -4"),
        (r#"[[1, 2], {"size": [0, 0], "counts": []}]"#, "several of them in one list"),
        ("\"x\"", "a segmentation: a list of polygons"),
        ("[[1e999, 2]]", "out of range"),
    ];
    for (segmentation, message) in cases {
        let annotation = ANNOTATION
            .replace("\"segmentation\": []", &format!("\"segmentation\": {segmentation}"));
        let error = fails(annotation);
        assert!(error.contains(message) && error.contains("annotations[0]"), "{error}");
    }
    assert!(fails(ANNOTATION.replace("5,", "5.5,")).contains("names annotation 5, which"));
    let error = fails(format!("{ANNOTATION}, {}", ANNOTATION.replace("1, 1]", "1, 2]")));
    assert!(error.contains("two different records with id 5"), "{error}");
    open((JSON, refs.as_bytes()), &instances_of(&format!("{ANNOTATION}, {ANNOTATION}"))).unwrap();
    let unneeded = r#"{"id": 6, "segmentation": "none", "bbox": []}"#;
    open((JSON, refs.as_bytes()), &instances_of(&format!("{unneeded}, {ANNOTATION}"))).unwrap();
    for id in ["\"1\"", "1.0", "1"] {
        let refs = format!("[{}]", one_ref(1, id, "\"5\"", 1));
        assert_eq!(open((JSON, refs.as_bytes()), &good).unwrap().all_refs()[0].image_id, 1);
    }
    let refs = br#"(lp0
(dS'ref_id'
I1
sS'image_id'
F1.5
sa."#;
    let error = open((PICKLE, refs), &good).unwrap_err().to_string();
    assert!(error.contains("refs[0].image_id") && error.contains("found 1.5"), "{error}");
    let flagged = one_ref(1, "1", "[5]", 1).replace("\"split\"", "\"no_target\": true, \"split\"");
    let error = fault(&format!("[{flagged}]"), &good);
    assert!(error.contains("no_target is true, but ann_id names 1"), "{error}");
}

#[test]
fn image_names_cannot_leave_their_folder() {
    let refs = format!("[{}]", one_ref(1, "1", "[5]", 1));
    let named = |name: &str| instances(&IMAGE.replace("a.jpg", name), ANNOTATION);
    for name in ["../a.jpg", "b/../../a.jpg", "b\\\\..\\\\a.jpg", "", "a\\u0000.jpg", "./", "/"] {
        let error = fault(&refs, &named(name));
        assert!(error.contains("image 1 has file_name `"), "{name}: {error}");
    }
    // Absolute names are looked for inside.
    for (name, inside) in [("/etc/passwd", "etc/passwd"), ("C:\\\\a.jpg", "a.jpg"), ("./a", "a")] {
        let read = open((JSON, refs.as_bytes()), &named(name)).unwrap();
        assert_eq!(&*read.image(1).unwrap().file_name, inside);
    }
}
