//! `mllmseg check`: good checkpoints, damaged ones, and references of the published implementation.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use mllmseg::convert::convert;
use mllmseg::device;
use mllmseg::model::checkpoint::{SaveOptions, save_model};
use mllmseg::model::config::{Architecture, Layout};
use mllmseg::model::{Mllmseg, MllmsegConfig};
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::*;

/// What `check --json` prints, and whether it succeeded.
fn check(folder: &Path, reference: Option<&Path>) -> (bool, Value) {
    let mut command = mllmseg(["check", "--device", "cpu", "--json"]);
    command.arg(folder);
    if let Some(file) = reference {
        command.arg("--reference").arg(file);
    }
    let output = command.output().unwrap();
    let found = serde_json::from_slice::<Value>(&output.stdout);
    let found = found.unwrap_or_else(|_| panic!("{}", errors(&output)));
    assert_eq!(found["passes"], output.status.success());
    (output.status.success(), found)
}

/// Every step's name and verdict.
fn verdicts(found: &Value) -> Vec<(&str, &str)> {
    let steps = found["steps"].as_array().unwrap().iter();
    steps.map(|step| (step["name"].as_str().unwrap(), step["verdict"].as_str().unwrap())).collect()
}

#[track_caller]
fn step<'a>(found: &'a Value, name: &str) -> &'a Value {
    let steps = found["steps"].as_array().unwrap();
    steps.iter().find(|step| step["name"] == name).expect(name)
}

#[track_caller]
fn fails(found: &Value, name: &str, words: &[&str]) {
    assert_eq!(step(found, name)["verdict"], "failed", "{found:#}");
    assert_says(&step(found, name)["detail"], words);
}

/// The tiny model with some tensors changed.
fn tiny(change: impl FnOnce(&mut Tensors)) -> TempDir {
    let folder = copy_of(&root().join("assets/tiny"));
    let mut tensors = tensors_of(folder.path());
    change(&mut tensors);
    write_tensors(&folder.path().join("model.safetensors"), &tensors, None);
    folder
}

/// A reference of a case: its image, its conversation, and what the published implementation computed
/// (`expected.safetensors`), with some arrays and metadata changed.
fn reference(
    name: &str,
    change: impl FnOnce(&mut Tensors, &mut HashMap<String, String>),
) -> (TempDir, PathBuf) {
    let bytes = fs::read(case(name).join("expected.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let arrays = file
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, (view.dtype(), view.shape().to_vec(), view.data().to_vec())));
    let mut arrays: Tensors = arrays.collect();
    let image = image_of(name);
    let shape = vec![image.height() as usize, image.width() as usize, 3];
    arrays.insert("image".into(), (Dtype::U8, shape, image.into_raw()));
    let texts = read_json(&case(name).join("case.json"));
    let text = |key: &str| texts[key].as_str().unwrap().to_string();
    let mut metadata = HashMap::from([
        ("mllmseg_reference".into(), "1".into()),
        ("question".into(), text("question")),
        ("answer".into(), text("answer")),
        ("dtype".into(), "float32".into()),
        ("source".into(), "published".into()),
        ("pillow".into(), "11.3.0".into()),
    ]);
    change(&mut arrays, &mut metadata);
    let folder = scratch();
    let path = folder.path().join("reference.safetensors");
    write_tensors(&path, &arrays, Some(metadata));
    (folder, path)
}

/// What one conversation computes.
const STAGES: [&str; 7] = [
    "input_ids",
    "pixel_values",
    "vit_feature",
    "projected",
    "last_hidden_state",
    "logits",
    "masks",
];

#[test]
fn a_good_checkpoint_passes_every_step() {
    let folder = root().join("assets/tiny");
    let (passes, found) = check(&folder, None);
    assert!(passes, "{found:#}");
    let names = ["config", "tokenizer", "files", "weights", "values"].into_iter().chain(STAGES);
    assert_eq!(verdicts(&found), names.map(|name| (name, "ok")).collect::<Vec<_>>());
    let info = printed_json(mllmseg(["info", "--json"]).arg(&folder));
    assert_says(&step(&found, "weights")["detail"], &[&info["parameters"]["total"].to_string()]);
    assert!(step(&found, "masks")["largest"].as_f64().unwrap() <= 1.0);

    let text = printed(mllmseg(["check", "--device", "cpu"]).arg(&folder));
    assert_says(text, &["on cpu in f32", "step", "vit_feature", "last_hidden_state"]);
}

#[test]
fn numbers_that_are_none_are_found_in_their_tensor_and_stage() {
    let name = "language_model.model.layers.1.mlp.up_proj.weight";
    let folder = tiny(|tensors| {
        let (dtype, _, bytes) = tensors.get_mut(name).unwrap();
        let (at, nan) = match dtype {
            Dtype::F32 => (8, f32::NAN.to_le_bytes().to_vec()),
            _ => (8, 0x7fffu16.to_le_bytes().to_vec()), // NaN in f16 and in bf16
        };
        bytes[at..at + nan.len()].copy_from_slice(&nan);
    });
    let (passes, found) = check(folder.path(), None);
    assert!(!passes);
    fails(&found, "values", &[name, "NaN"]);
    assert_eq!(step(&found, "projected")["verdict"], "ok");
    fails(&found, "last_hidden_state", &["NaN or infinite"]);
    fails(&found, "masks", &["NaN or infinite"]);
}

#[test]
fn a_hole_in_the_file_is_a_warning() {
    let name = "vision_model.encoder.layers.0.mlp.fc1.weight";
    let folder = tiny(|tensors| tensors.get_mut(name).unwrap().2.fill(0));
    let (passes, found) = check(folder.path(), None);
    assert!(passes, "{found:#}");
    assert_eq!(step(&found, "values")["verdict"], "warning");
    assert_says(&step(&found, "values")["detail"], &[name, "all zero"]);
}

/// What fails does not hide what is right, and what cannot be tried is said.
#[test]
fn missing_tensors_and_wrong_shapes_are_named() {
    let name = "language_model.model.norm.weight";
    let missing = tiny(|tensors| drop(tensors.remove(name)));
    let (passes, found) = check(missing.path(), None);
    assert!(!passes);
    fails(&found, "weights", &["missing tensor", name]);
    let rest = ["config", "tokenizer", "files"].map(|name| step(&found, name)["verdict"].clone());
    assert_eq!(rest, [json!("ok"), json!("ok"), json!("ok")]);
    assert_eq!(step(&found, "stages")["verdict"], "skipped");

    let shorter = tiny(|tensors| {
        let (_, shape, bytes) = tensors.get_mut(name).unwrap();
        bytes.truncate(bytes.len() / 2);
        shape[0] /= 2;
    });
    let (passes, found) = check(shorter.path(), None);
    assert!(!passes);
    fails(&found, "weights", &[name, "expected shape", "found"]);
}

#[test]
fn a_damaged_tokenizer_does_not_hide_damaged_weights() {
    let folder = copy_of(&root().join("assets/tiny"));
    fs::write(folder.path().join("vocab.json"), "{").unwrap();
    replace(&folder.path().join("model.safetensors"), "short");
    let (passes, found) = check(folder.path(), None);
    assert!(!passes);
    fails(&found, "tokenizer", &["vocab.json"]);
    fails(&found, "files", &["model.safetensors"]);
    assert_eq!(step(&found, "weights")["verdict"], "skipped");
}

/// Both language models, and an adapter, against the published implementation.
#[test]
fn stages_agree_with_the_published_implementation() {
    for name in ["qwen2", "internlm2_lora"] {
        let (_folder, file) = reference(name, |_, _| {});
        let (passes, found) = check(&checkpoint(name), Some(&file));
        assert!(passes, "{found:#}");
        assert_says(&step(&found, "reference")["detail"], &["published", "Pillow 11.3.0"]);
        for name in STAGES {
            let step = step(&found, name);
            let [difference, tolerance] =
                ["difference", "tolerance"].map(|key| step[key].as_f64().unwrap());
            assert!(difference <= tolerance, "{step}");
        }
        assert!(step(&found, "masks 1 - IoU")["difference"].as_f64().unwrap() < 1e-3);
    }
}

/// The tiny model with Qwen3 in place of Qwen2, its weights drawn.
fn qwen3() -> TempDir {
    let folder = copy_of(&root().join("assets/tiny"));
    let file = read_json(&folder.path().join("config.json"));
    let mut config = MllmsegConfig::from_dir(folder.path()).unwrap();
    config.language.architecture = Architecture::Qwen3;
    config.language.head_dim = Some(48); // not width / heads
    let model = Mllmseg::new(&config, None, &device::cpu().device);
    save_model(&model, &config, Some(&file), folder.path(), SaveOptions::default()).unwrap();
    folder
}

/// Each language model in both layouts, as a whole model and as a base; what the published implementation
/// computed holds for both.
#[test]
fn every_base_passes_in_both_layouts() {
    let qwen3 = qwen3();
    let cases =
        ["qwen2", "internlm2_lora"].map(|name| (checkpoint(name), reference(name, |_, _| {})));
    let cases = cases.iter().map(|(folder, (_, file))| (folder.as_path(), Some(file.as_path())));
    for (folder, reference) in cases.chain([(qwen3.path(), None)]) {
        let place = scratch();
        let native = place.path().join("native");
        convert(folder, &native, Layout::Transformers).unwrap();
        let [as_published, as_native] = [folder, native.as_path()].map(|dir| check(dir, reference));
        assert!(as_published.0 && as_native.0, "{:#} {:#}", as_published.1, as_native.1);
        assert_eq!(verdicts(&as_published.1), verdicts(&as_native.1));
        assert_says(&step(&as_native.1, "files")["detail"], &["as transformers names them"]);
        let table = printed(mllmseg(["check", "--device", "cpu"]).arg(&native));
        assert_says(table, &["native on cpu in f32", "tokenizer", "last_hidden_state", "masks"]);

        let base = copy_of(&native);
        let mut tensors = tensors_of(base.path());
        tensors.retain(|name, _| !name.contains("res_decoder."));
        write_tensors(&base.path().join("model.safetensors"), &tensors, None);
        let (passes, found) = check(base.path(), None);
        assert!(passes, "{found:#}");
        assert_eq!(step(&found, "weights")["verdict"], "warning");
        assert_says(&step(&found, "weights")["detail"], &["mask decoder is not trained"]);
    }
}

#[test]
fn the_first_stage_that_differs_is_named() {
    let (_folder, file) = reference("qwen2", |arrays, _| {
        let (_, _, bytes) = arrays.get_mut("projected").unwrap();
        let first = f32::from_le_bytes(bytes[..4].try_into().unwrap());
        bytes[..4].copy_from_slice(&(first + 0.5).to_le_bytes());
    });
    let (passes, found) = check(&checkpoint("qwen2"), Some(&file));
    assert!(!passes);
    fails(&found, "projected", &["first", "projector"]);
    assert!((step(&found, "projected")["difference"].as_f64().unwrap() - 0.5).abs() < 1e-3);
    let others = verdicts(&found);
    let failed: Vec<_> = others.iter().filter(|(_, verdict)| *verdict != "ok").collect();
    assert_eq!(failed, [&("projected", "failed")]);

    let (_folder, file) = reference("qwen2", |arrays, _| {
        let (_, _, bytes) = arrays.get_mut("input_ids").unwrap();
        bytes[8] ^= 1; // the third id, an i32
    });
    let (_, found) = check(&checkpoint("qwen2"), Some(&file));
    fails(&found, "input_ids", &["1 ids differ, at position 2 first"]);
}

#[test]
fn a_reference_of_another_model_is_told_by_its_shapes() {
    let (_folder, file) = reference("internlm2_lora", |_, _| {});
    let (passes, found) = check(&checkpoint("qwen2"), Some(&file));
    assert!(!passes);
    fails(&found, "input_ids", &["another model"]);
    let (_folder, file) = reference("qwen2", |_, _| {});
    let (passes, found) = check(&root().join("assets/tiny"), Some(&file));
    assert!(!passes);
    fails(&found, "vit_feature", &["another model"]);
}

/// Pillow 13 resizes otherwise, and bf16 rounds otherwise: neither is the checkpoint's fault.
#[test]
fn what_wrote_the_reference_is_told() {
    let (_folder, file) = reference("qwen2", |arrays, metadata| {
        metadata.insert("pillow".into(), "13.0.0".into());
        metadata.insert("dtype".into(), "bfloat16".into());
        let (_, _, bytes) = arrays.get_mut("vit_feature").unwrap();
        bytes[..4].copy_from_slice(&1e3f32.to_le_bytes());
    });
    let (passes, found) = check(&checkpoint("qwen2"), Some(&file));
    assert!(passes, "{found:#}");
    assert_eq!(step(&found, "reference")["verdict"], "warning");
    assert_says(&step(&found, "reference")["detail"], &["Pillow 13.0.0", "pillow<13"]);
    assert_eq!(step(&found, "vit_feature")["verdict"], "warning");
    assert_says(&step(&found, "vit_feature")["detail"], &["not judged"]);
}

#[test]
fn files_that_are_no_references_are_refused() {
    let refused = |path: &Path, words: &[&str]| {
        let mut command = mllmseg(["check", "--device", "cpu", "--reference"]);
        assert_says(failure(command.arg(path).arg(root().join("assets/tiny"))), words);
    };
    refused(&case("qwen2").join("expected.safetensors"), &["expected.safetensors", "dump.py"]);
    refused(&case("qwen2").join("case.json"), &["case.json", "header"]);
    refused(Path::new("/nowhere.safetensors"), &["/nowhere.safetensors"]);
    let (_folder, file) = reference("qwen2", |arrays, _| drop(arrays.remove("image")));
    refused(&file, &["`image`", "dump.py"]);
    let (_folder, file) = reference("qwen2", |_, metadata| drop(metadata.remove("question")));
    refused(&file, &["`question`"]);
    let (_folder, file) = reference("qwen2", |_, metadata| {
        metadata.insert("answer".into(), "Sure,[SEG]".repeat(17));
    });
    let (passes, found) = check(&checkpoint("qwen2"), Some(&file));
    assert!(!passes);
    fails(&found, "stages", &["16 [SEG]", "17"]);
}
