//! The command as people run it.

mod explain;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use safetensors::SafeTensors;
use serde_json::Value;
use xtask::weights::{CheckpointOptions, write_checkpoint};

fn case() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/qwen2")
}

fn picture() -> PathBuf {
    case().join("image.png")
}

/// The drawn checkpoint of the `qwen2` case, written once for all tests.
fn checkpoint() -> &'static Path {
    static DIR: OnceLock<tempfile::TempDir> = OnceLock::new();
    let dir = DIR.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        write_checkpoint(&case(), dir.path(), &CheckpointOptions::default()).unwrap();
        dir
    });
    dir.path()
}

fn mllmseg(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mllmseg")).args(arguments).output().unwrap()
}

fn segment(arguments: &[&str]) -> Output {
    let fixed = ["segment", "--device", "cpu", "--checkpoint", checkpoint().to_str().unwrap()];
    mllmseg(&[&fixed, arguments].concat())
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The JSON that a command prints when it succeeds.
fn json_of(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The message of a failing command; it must fail by an error, not by a panic.
fn failure(output: Output) -> String {
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(!text.contains("panicked") && !text.contains("please report"), "{text}");
    text
}

fn assert_says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "expected {word:?} in: {message}");
    }
}

#[test]
fn one_picture_gives_masks_an_overlay_scores_and_json() {
    let out = tempfile::tempdir().unwrap();
    let scores = out.path().join("scores.safetensors");
    let (picture, folder) = (picture(), out.path().join("deep/er"));
    let output = segment(&[
        picture.to_str().unwrap(),
        "man in the red shirt on the left",
        "small brown dog",
        "--json",
        "--out",
        folder.to_str().unwrap(),
        "--scores",
        scores.to_str().unwrap(),
    ]);
    let json = json_of(&output);
    assert_says(&String::from_utf8_lossy(&output.stderr), &["on cpu in f32"]);
    let image = &json["images"][0];
    assert_eq!((image["width"].as_u64(), image["height"].as_u64()), (Some(640), Some(427)));
    assert!(image["timings"]["encode_s"].as_f64().unwrap() > 0.0);

    let bytes = std::fs::read(&scores).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.tensor("scores").unwrap().shape(), [2, 448, 448]);
    assert_eq!(tensors.tensor("rejected").unwrap().data(), [0, 0]);

    for (number, result) in image["results"].as_array().unwrap().iter().enumerate() {
        let mask = folder.join(format!("image_mask{}.png", number + 1));
        let mask = image::open(mask).unwrap().into_luma8();
        assert_eq!(mask.dimensions(), (640, 427));
        assert!(mask.pixels().all(|pixel| [0, 255].contains(&pixel.0[0])));
        let area = mask.pixels().filter(|pixel| pixel.0[0] == 255).count() as u64;
        assert_eq!(result["area"].as_u64(), Some(area));
        assert_eq!(result["segmentation"]["size"], serde_json::json!([427, 640]));
    }
    let overlay = image::open(folder.join("image_overlay.png")).unwrap();
    assert!(overlay.width() >= 640 && overlay.height() > 427);
}

/// The scores are the published masks where the question is the published one.
#[test]
fn scores_equal_the_published_masks() {
    let out = tempfile::tempdir().unwrap();
    let scores = out.path().join("s.safetensors");
    let output = segment(&[
        picture().to_str().unwrap(),
        "man in the red shirt on the left",
        "small brown dog",
        "--together",
        "--scores",
        scores.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let floats = |path: &Path, name: &str| -> Vec<f32> {
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let (values, _) = file.tensor(name).unwrap().data().as_chunks::<4>();
        values.iter().map(|b| f32::from_le_bytes(*b)).collect()
    };
    let published = floats(&case().join("expected.safetensors"), "masks");
    let ours = floats(&scores, "scores");
    assert_eq!(ours.len(), published.len());
    assert!(ours.iter().zip(&published).all(|(a, b)| (a - b).abs() <= 1e-3));
}

#[test]
fn folders_are_answered_and_bad_pictures_named() {
    let pictures = tempfile::tempdir().unwrap();
    std::fs::copy(picture(), pictures.path().join("good.png")).unwrap();
    std::fs::write(pictures.path().join("bad.jpg"), b"\xff\xd8\xff\xe0 no more").unwrap();
    std::fs::write(pictures.path().join("notes.txt"), "not a picture").unwrap();
    let out = tempfile::tempdir().unwrap();
    let output =
        segment(&[pictures.path().to_str().unwrap(), "dog", "--out", out.path().to_str().unwrap()]);
    assert_says(&stdout(&output), &["good.png", "dog: "]);
    assert!(out.path().join("good_overlay.png").exists());
    assert_says(&failure(output), &["bad.jpg", "1 of 2 pictures failed"]);

    let empty = tempfile::tempdir().unwrap();
    assert_says(
        &failure(segment(&[empty.path().to_str().unwrap(), "dog"])),
        &["no pictures", "jpg"],
    );
}

#[test]
fn generation_prints_what_the_model_says() {
    let json = json_of(&segment(&[picture().to_str().unwrap(), "dog", "--generate", "--json"]));
    assert!(!json["images"][0]["answer"].as_str().unwrap().is_empty());
}

#[test]
fn an_impossible_request_names_its_fault() {
    let picture = picture();
    let picture = picture.to_str().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let inside_a_file = file.join("out");
    let unwritable = segment(&[picture, "dog", "--out", inside_a_file.to_str().unwrap()]);
    assert_says(&failure(unwritable), &["cannot write here", "--out"]);
    assert_says(&failure(segment(&["nowhere.png", "dog"])), &["nowhere.png", "no such picture"]);
    assert_says(&failure(segment(&[picture, " "])), &["empty"]);
    assert_says(&failure(segment(&[picture, &"very ".repeat(3000)])), &["512"]);
    assert_says(&failure(segment(&[picture, "a [SEG]"])), &["[SEG]"]);
    let device = mllmseg(&["segment", picture, "dog", "--checkpoint", ".", "--device", "wgpu:77"]);
    assert_says(&failure(device), &["wgpu", "cpu"]);
    let scores = dir.path().join("no/such/folder/s.safetensors");
    let scores = segment(&[picture, "dog", "--scores", scores.to_str().unwrap()]);
    assert_says(&failure(scores), &["s.safetensors"]);

    let wide = dir.path().join("wide.png");
    image::GrayImage::new(30_000, 2).save(&wide).unwrap();
    assert_says(&failure(segment(&[wide.to_str().unwrap(), "dog"])), &["wide.png", "30000"]);
    let text = dir.path().join("text.png");
    std::fs::write(&text, "hello").unwrap();
    assert_says(&failure(segment(&[text.to_str().unwrap(), "dog"])), &["text.png"]);
}

/// The paper's Table 4, as a program reads it.
#[test]
fn info_counts_parameters() {
    let json = json_of(&mllmseg(&["info", "--preset", "internvl2_5-8b", "--json"]));
    let decoders = &json["mask_decoder_parameters"];
    assert_eq!(decoders["vit"], 17_556_070);
    assert_eq!(decoders["llm"], 21_784_198);
    assert_eq!(decoders["concat"], 22_832_774);
    assert_eq!(decoders["dsff"], 34_385_542);
    for preset in [
        "internvl2-2b",
        "internvl2-8b",
        "internvl2_5-1b",
        "internvl2_5-2b",
        "internvl2_5-4b",
        "tiny",
    ] {
        let output = mllmseg(&["info", "--preset", preset]);
        assert_says(&stdout(&output), &[preset, "mask decoder"]);
    }
    let output = mllmseg(&["info", checkpoint().to_str().unwrap()]);
    assert_says(&stdout(&output), &["weights: 122 tensors"]);
    let unknown = mllmseg(&["info", "--preset", "huge"]);
    assert_says(&String::from_utf8_lossy(&unknown.stderr), &["huge", "internvl2_5-1b"]);
}
