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

    // Hidden files are no pictures; others are named, and are no failure.
    fs::remove_file(pictures.path().join("bad.jpg")).unwrap();
    for hidden in ["._good.png", ".DS_Store", ".hidden.jpg"] {
        fs::write(pictures.path().join(hidden), "Mac OS X").unwrap();
    }
    fs::write(pictures.path().join("clip.mov"), "").unwrap();
    let mut command = segment(&[pictures.path().to_str().unwrap(), "dog", "--out"]);
    let output = command.arg(out.path()).output().unwrap();
    assert!(output.status.success(), "{}", errors(&output));
    assert_says(errors(&output), &["2 files are no pictures and left out: clip.mov, notes.txt"]);
    assert!(!errors(&output).contains("._good"));

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
    let [wide, text] = [path("wide.bmp"), path("text.png")];
    // The header of a BMP of 30,000 x 10,000 pixels with 24 bits.
    let mut header =
        b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x30\x75\0\0\x10\x27\0\0\x01\0\x18\0".to_vec();
    header.resize(54, 0);
    fs::write(&wide, header).unwrap();
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
    fails(&[&wide, "dog"], &["wide.bmp", "30000", "250 million pixels"]);
    fails(&[&text, "dog"], &["text.png"]);
    let no_device = ["segment", picture, "dog", "--checkpoint", ".", "--device", "wgpu:77"];
    assert_says(failure(&mut mllmseg(no_device)), &["wgpu", "cpu"]);
}

/// The tiny model knows drawn scenes; what else it is asked, it answers with a caution.
#[test]
fn the_tiny_model_warns_of_photographs() {
    let folder = tempfile::tempdir().unwrap();
    let run = |image: &str, expression: &str| {
        let image = root().join(image);
        let mut command = mllmseg(["segment", "--json", "--device", "cpu", "--out", "out"]);
        command.arg(image).arg(expression).current_dir(&folder);
        printed_json(command.env("XDG_CACHE_HOME", folder.path()))["images"][0].take()
    };
    let overlay = |name: &str| image::open(folder.path().join("out").join(name)).unwrap();
    let cautions = |json: &serde_json::Value| json["cautions"].as_array().unwrap().len();
    assert_eq!(cautions(&run("examples/scene.png", "the red star")), 0);
    let photograph = run("examples/cat.jpg", "the cat");
    assert_says(&photograph["cautions"][0], &["no drawn scene"]);
    assert_says(&photograph["cautions"][1], &["words: cat"]);
    let taller = overlay("cat_overlay.png").height();
    // Another model has no such remarks, and a lower legend.
    let mut command = segment(&[root().join("examples/cat.jpg").to_str().unwrap(), "the cat"]);
    let lines = printed(command.args(["--out", "out"]).current_dir(&folder));
    assert!(!lines.contains("caution"), "{lines}");
    assert!(overlay("cat_overlay.png").height() < taller);
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
        "internvl3-8b",
        "internvl3_5-1b",
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
