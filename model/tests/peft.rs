//! Adapters that PEFT saved alone, and what transformers computes with them
//! (`tests/oracle/peft_adapters.py`).

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor, TensorData};
use mllmseg_model::checkpoint::safetensors::read_safetensors;
use mllmseg_model::checkpoint::write::write_safetensors;
use mllmseg_model::checkpoint::{LoadOptions, WeightFiles, load_files};
use mllmseg_model::{Mllmseg, MllmsegConfig};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Base, adapter, and its scale by PEFT's rule: `alpha / r`, or `alpha / sqrt(r)`.
const CASES: [(&str, &str, f64); 6] = [
    ("qwen2", "alpha_1", 0.25),
    ("qwen3", "alpha_r", 1.0),
    ("qwen2_tied", "alpha_2r", 2.0),
    ("qwen3_untied", "rslora", 3.0),
    ("internlm2", "internlm2", 1.5),
    ("qwen3", "all_linear", 1.5),
];

fn fixtures(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(path)
}

fn load(base: &str, adapter: &Path) -> Result<(Mllmseg, f64), String> {
    let dir = fixtures("native").join(base);
    let files =
        WeightFiles::open(&dir).unwrap().with_adapter(adapter).map_err(|e| e.to_string())?;
    let scale = files.adapter().unwrap().lora.scale();
    let mut config = MllmsegConfig::from_dir(&dir).unwrap();
    let loaded = load_files(files, &mut config, LoadOptions::default(), &Device::flex());
    loaded.map(|(model, _)| (model, scale)).map_err(|error| error.to_string())
}

#[test]
fn hidden_states_and_logits_are_those_of_peft() {
    for (base, case, scale) in CASES {
        let (model, found_scale) = load(base, &fixtures("peft").join(case)).unwrap();
        assert!((found_scale - scale).abs() < 1e-12, "{case}: {found_scale}");
        let given =
            read_safetensors(&fixtures("native").join(base).join("expected.safetensors")).unwrap();
        let expected =
            read_safetensors(&fixtures("peft").join(case).join("expected.safetensors")).unwrap();
        let device = Device::flex();
        let pixels = Tensor::from_data(given["pixels"].clone(), &device);
        let ids = Tensor::<2, Int>::from_data(given["input_ids"].clone(), &device);
        let (state, _) = model.forward(pixels, ids, 2, &[]);
        let logits = model.language_model.lm_head.forward(state.hidden.clone()).into_data();
        let argmax = |data: &TensorData| -> Vec<usize> {
            let values: Vec<f32> = data.iter().collect();
            let rows = values.chunks(48);
            rows.map(|row| (0..48).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap()).collect()
        };
        assert_eq!(argmax(&logits), argmax(&expected["logits"]), "{case}");
        for (stage, found) in [("hidden", state.hidden.into_data()), ("logits", logits)] {
            let pairs = found.iter::<f32>().zip(expected[stage].iter::<f32>());
            let worst = pairs.fold(0f32, |worst, (a, b)| worst.max((a - b).abs()));
            println!("{case} {stage}: {worst:e}");
            assert_eq!(found.shape(), expected[stage].shape(), "{stage}");
            assert!(worst <= 2e-5, "{case} {stage}: {worst}");
        }
    }
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
        let error = load("qwen2", config(key, value).path()).err().unwrap();
        assert!(error.contains(key) && error.contains("adapter_config.json"), "{error}");
    }
    // The file and its configuration disagree: one of them is stale.
    let error = load("qwen2", config("target_modules", json!(["q_proj"])).path()).err().unwrap();
    assert!(error.contains("target_modules") && error.contains("layers.0."), "{error}");
    let lost =
        edited("alpha_1", |_| (), |name| same(name).filter(|name| !name.contains("1.mlp.up_proj")));
    let error = load("qwen2", lost.path()).err().unwrap();
    assert!(error.contains("layers.1.mlp.up_proj") && error.contains("lacks"), "{error}");
    let half = edited(
        "alpha_1",
        |_| (),
        |name| same(name).filter(|name| !name.contains("1.mlp.up_proj.lora_B")),
    );
    let error = load("qwen2", half.path()).err().unwrap();
    assert!(error.contains("layers.1.mlp.up_proj.lora_B"), "{error}");
    // Adapters of other parts, and of another base.
    let vision =
        edited("alpha_1", |_| (), |name| Some(name.replace("language_model", "vision_tower")));
    let error = load("qwen2", vision.path()).err().unwrap();
    assert!(error.contains("language model of this base"), "{error}");
    let error = load("internlm2", &fixtures("peft/alpha_1")).err().unwrap();
    assert!(error.contains("wqkv.lora_B") && error.contains("k_proj"), "{error}");
}
