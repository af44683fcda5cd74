//! Adapters that PEFT saved alone (`tests/oracle/peft_adapters.py`) and that are refused. What is computed with the others
//! is compared in `tests/it/parity.rs`.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use mllmseg_model::MllmsegConfig;
use mllmseg_model::checkpoint::safetensors::read_safetensors;
use mllmseg_model::checkpoint::write::write_safetensors;
use mllmseg_model::checkpoint::{LoadOptions, WeightFiles, load_files};
use serde_json::{Value, json};
use tempfile::TempDir;

fn fixtures(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(path)
}

/// Why an adapter is refused.
fn refusal(base: &str, adapter: &Path) -> String {
    let dir = fixtures("native").join(base);
    let load = || {
        let files = WeightFiles::open(&dir)?.with_adapter(adapter)?;
        let mut config = MllmsegConfig::from_dir(&dir).unwrap();
        load_files(files, &mut config, LoadOptions::default(), &Device::flex())
    };
    load().map(|_| ()).unwrap_err().to_string()
}

/// A copy of an adapter with another configuration and other tensors.
fn edited(
    case: &str,
    edit: impl FnOnce(&mut Value),
    keep: impl Fn(&str) -> Option<String>,
) -> TempDir {
    let (from, copy) = (fixtures("peft").join(case), TempDir::new().unwrap());
    let mut config =
        serde_json::from_slice(&fs::read(from.join("adapter_config.json")).unwrap()).unwrap();
    edit(&mut config);
    fs::write(copy.path().join("adapter_config.json"), config.to_string()).unwrap();
    let tensors = read_safetensors(&from.join("adapter_model.safetensors")).unwrap().into_iter();
    let tensors = tensors.filter_map(|(name, tensor)| Some((keep(&name)?, tensor)));
    write_safetensors(tensors.collect(), &copy.path().join("adapter_model.safetensors")).unwrap();
    copy
}

#[test]
fn what_this_network_does_not_compute_is_refused_by_name() {
    let same = |name: &str| Some(name.to_string());
    let config =
        |key: &'static str, value: Value| edited("alpha_1", |config| config[key] = value, same);
    for (key, value) in [
        ("use_dora", json!(true)),
        ("modules_to_save", json!(["lm_head"])),
        ("rank_pattern", json!({ "q_proj": 8 })),
        ("peft_type", json!("IA3")),
        ("target_modules", json!(7)),
        ("init_lora_weights", json!("pissa_niter_4")),
        ("init_lora_weights", json!("olora")),
        ("kasa_config", json!({ "beta": 1e-4, "gamma": 1e-3 })),
    ] {
        let error = refusal("qwen2", config(key, value).path());
        assert!(error.contains(key) && error.contains("adapter_config.json"), "{error}");
    }
    // The file and its configuration disagree: one of them is stale.
    let error = refusal("qwen2", config("target_modules", json!(["q_proj"])).path());
    assert!(error.contains("target_modules") && error.contains("layers.0."), "{error}");
    let lost =
        edited("alpha_1", |_| (), |name| same(name).filter(|name| !name.contains("1.mlp.up_proj")));
    let error = refusal("qwen2", lost.path());
    assert!(error.contains("layers.1.mlp.up_proj") && error.contains("lacks"), "{error}");
    let half = edited(
        "alpha_1",
        |_| (),
        |name| same(name).filter(|name| !name.contains("1.mlp.up_proj.lora_B")),
    );
    let error = refusal("qwen2", half.path());
    assert!(error.contains("layers.1.mlp.up_proj.lora_B"), "{error}");
    // Adapters of other parts, and of another base.
    let vision =
        edited("alpha_1", |_| (), |name| Some(name.replace("language_model", "vision_tower")));
    let error = refusal("qwen2", vision.path());
    assert!(error.contains("language model of this base"), "{error}");
    let error = refusal("internlm2", &fixtures("peft/alpha_1"));
    assert!(error.contains("wqkv.lora_B") && error.contains("k_proj"), "{error}");
}
