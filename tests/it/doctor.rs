//! `mllmseg doctor`: what it finds, and what it calls broken.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::support::*;

fn doctor(home: &Path, arguments: &[&str]) -> Command {
    let mut command = mllmseg(["doctor", "--device", "cpu"]);
    command.args(arguments).env("XDG_CACHE_HOME", home).env("HF_HOME", home.join("hf"));
    command.current_dir(home);
    command
}

/// A load in f32 takes 1.05 x 4 bytes for each parameter.
#[test]
fn devices_memory_and_models_are_named() {
    let home = tempfile::tempdir().unwrap();
    let json = printed_json(&mut doctor(home.path(), &["--json"]));
    assert_eq!(json["selected"], "cpu");
    assert_eq!(json["devices"][0]["id"], "cpu");
    assert_eq!(json["problems"], serde_json::json!([]));
    assert!(json["cpu"]["cores"].as_u64().unwrap() >= 1);
    assert!(json["trial"]["iou"].as_f64().unwrap() > 0.5);
    let models = json["models"].as_array().unwrap();
    let model = models.iter().find(|model| model["name"] == "internvl2_5-1b").unwrap();
    let info = printed_json(&mut mllmseg(["info", "--preset", "internvl2_5-1b", "--json"]));
    assert_eq!(model["parameters"], info["parameters"]["total"]);
    let expected = 1.05 * 4.0 * model["parameters"].as_f64().unwrap();
    let found = &model["dtypes"][0];
    assert_eq!(found["dtype"], "f32");
    assert!((found["bytes"].as_f64().unwrap() - expected).abs() < 2.0);
    if let Some(memory) = json["free_memory_bytes"].as_f64() {
        assert_eq!(found["fits"], expected <= memory);
    }
    let options = model["dtypes"].as_array().unwrap().iter().map(|dtype| &dtype["option"]);
    let options: Vec<_> = options.collect();
    assert_eq!(options[..3], ["--dtype f32", "--quantize bf16", "--quantize q8"]);

    let text = printed(&mut doctor(home.path(), &[]));
    assert_says(
        &text,
        &["--device cpu takes cpu", "free memory: ", "models of the hub", "--quantize q8"],
    );
    for kind in ["cuda", "metal", "rocm", "vulkan", "wgpu"] {
        assert!(text.contains(kind), "{text}"); // built in or not
    }
    let text =
        printed(&mut doctor(home.path(), &["--checkpoint", checkpoint("qwen2").to_str().unwrap()]));
    assert_says(&text, &["qwen2"]);
}

#[test]
fn what_is_broken_is_named_and_fails() {
    let home = tempfile::tempdir().unwrap();
    let fails = |arguments: &[&str], variable: (&str, &str), words: &[&str]| {
        let mut command = doctor(home.path(), arguments);
        let output = command.env(variable.0, variable.1).output().unwrap();
        assert_says(failure_of(&output), &["broken"]);
        assert_says(String::from_utf8_lossy(&output.stdout), words);
    };
    let none = ("MLLMSEG_NOTHING", "");
    fails(&["--checkpoint", "owner/model"], none, &["owner/model", "mllmseg download"]);
    fails(&["--checkpoint", "nowhere"], none, &["nowhere/config.json"]);
    fails(&[], ("SSL_CERT_FILE", "/no/such.pem"), &["problem: ", "/no/such.pem"]);
    fails(&[], ("HTTPS_PROXY", "ftp://x"), &["problem: ", "HTTPS_PROXY"]);
    fs::write(home.path().join("config.json"), "{").unwrap();
    fails(&["--checkpoint", "."], none, &["config.json"]);
}
