//! The command as people run it.

use std::fs;
use std::process::Command;

use safetensors::SafeTensors;

use super::support::*;

fn picture() -> String {
    case("qwen2").join("image.png").into_os_string().into_string().unwrap()
}

fn segment(arguments: &[&str]) -> Command {
    let mut command = mllmseg(["segment", "--device", "cpu", "--checkpoint"]);
    command.arg(checkpoint("qwen2")).args(arguments);
    command
}

#[test]
fn one_picture_gives_masks_an_overlay_scores_and_json() {
    let out = tempfile::tempdir().unwrap();
    let scores = out.path().join("scores.safetensors");
    let folder = out.path().join("deep/er");
    let mut command =
        segment(&[&picture(), "man in the red shirt on the left", "small brown dog", "--json"]);
    let output = command.arg("--out").arg(&folder).arg("--scores").arg(&scores).output().unwrap();
    assert!(output.status.success(), "{}", errors(&output));
    assert_says(errors(&output), &["on cpu in f32"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let image = &json["images"][0];
    assert_eq!((image["width"].as_u64(), image["height"].as_u64()), (Some(640), Some(427)));
    assert!(image["timings"]["encode_s"].as_f64().unwrap() > 0.0);

    let bytes = fs::read(&scores).unwrap();
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
    let expressions = ["man in the red shirt on the left", "small brown dog", "--together"];
    let mut command = segment(&[&picture()]);
    printed(command.args(expressions).arg("--scores").arg(&scores));
    let (_, published) = floats(&case("qwen2").join("expected.safetensors"), "masks");
    assert!(difference(&floats(&scores, "scores").1, &published) <= 1e-3);
}

#[test]
fn folders_are_answered_and_bad_pictures_named() {
    let pictures = tempfile::tempdir().unwrap();
    fs::copy(picture(), pictures.path().join("good.png")).unwrap();
    fs::write(pictures.path().join("bad.jpg"), b"\xff\xd8\xff\xe0 no more").unwrap();
    fs::write(pictures.path().join("notes.txt"), "not a picture").unwrap();
    let out = tempfile::tempdir().unwrap();
    let mut command = segment(&[pictures.path().to_str().unwrap(), "dog", "--out"]);
    let output = command.arg(out.path()).output().unwrap();
    assert_says(String::from_utf8_lossy(&output.stdout), &["good.png", "dog: "]);
    assert!(out.path().join("good_overlay.png").exists());
    assert_says(failure_of(&output), &["bad.jpg", "1 of 2 pictures failed"]);

    let empty = tempfile::tempdir().unwrap();
    let message = failure(&mut segment(&[empty.path().to_str().unwrap(), "dog"]));
    assert_says(&message, &["no pictures", "jpg"]);
}

#[test]
fn generation_prints_what_the_model_says() {
    let json = printed_json(&mut segment(&[&picture(), "dog", "--generate", "--json"]));
    assert!(!json["images"][0]["answer"].as_str().unwrap().is_empty());
}

#[test]
fn an_impossible_request_names_its_fault() {
    let picture = &*picture();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).into_os_string().into_string().unwrap();
    let [wide, text] = [path("wide.png"), path("text.png")];
    image::GrayImage::new(30_000, 2).save(&wide).unwrap();
    fs::write(&text, "hello").unwrap();
    let fails = |arguments: &[&str], words: &[&str]| {
        assert_says(failure(&mut segment(arguments)), words);
    };
    fails(&[picture, "dog", "--out", &path("text.png/out")], &["cannot write here", "--out"]);
    fails(&["nowhere.png", "dog"], &["nowhere.png", "no such picture"]);
    fails(&[picture, " "], &["empty"]);
    fails(&[picture, &"very ".repeat(3000)], &["512"]);
    fails(&[picture, "a [SEG]"], &["[SEG]"]);
    fails(&[picture, "dog", "--scores", &path("no/such/s.safetensors")], &["s.safetensors"]);
    fails(&[&wide, "dog"], &["wide.png", "30000"]);
    fails(&[&text, "dog"], &["text.png"]);
    let no_device = ["segment", picture, "dog", "--checkpoint", ".", "--device", "wgpu:77"];
    assert_says(failure(&mut mllmseg(no_device)), &["wgpu", "cpu"]);
}

/// The paper's Table 4, as a program reads it.
#[test]
fn info_counts_parameters() {
    let json = printed_json(&mut mllmseg(["info", "--preset", "internvl2_5-8b", "--json"]));
    let decoders = &json["mask_decoder_parameters"];
    for (variant, count) in
        [("vit", 17_556_070), ("llm", 21_784_198), ("concat", 22_832_774), ("dsff", 34_385_542)]
    {
        assert_eq!(decoders[variant], count);
    }
    for preset in [
        "internvl2-2b",
        "internvl2-8b",
        "internvl2_5-1b",
        "internvl2_5-2b",
        "internvl2_5-4b",
        "tiny",
    ] {
        let output = printed(&mut mllmseg(["info", "--preset", preset]));
        assert_says(&output, &[preset, "mask decoder"]);
    }
    let output = printed(mllmseg(["info"]).arg(checkpoint("qwen2")));
    assert_says(&output, &["weights: 122 tensors"]);
    let unknown = mllmseg(["info", "--preset", "huge"]).output().unwrap();
    assert_says(errors(&unknown), &["huge", "internvl2_5-1b"]);
}

#[cfg(not(feature = "serve"))]
#[test]
fn a_build_without_a_server_names_the_feature() {
    assert_says(failure(&mut mllmseg(["serve"])), &["--features serve"]);
}
