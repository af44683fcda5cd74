//! Both layouts hold the same model: from one to the other and back, every byte of every tensor and every
//! value of `config.json` stays.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Distribution};
use mllmseg_model::checkpoint::convert::convert_weights;
use mllmseg_model::checkpoint::named_weights::for_each_weight;
use mllmseg_model::checkpoint::safetensors::read_safetensors;
use mllmseg_model::checkpoint::{LoadOptions, SaveOptions, WeightFiles, load_model, save_model};
use mllmseg_model::config::{Architecture, Layout, RopeScaling};
use mllmseg_model::lora::LoraConfig;
use mllmseg_model::{Mllmseg, MllmsegConfig, Preset};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Models that transformers wrote in its own layout (`tests/oracle/native_internvl.py`): with tied tables and with two,
/// InternLM2 as Llama.
const CASES: [&str; 5] = ["qwen2", "qwen2_tied", "qwen3", "qwen3_untied", "internlm2"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/native").join(name)
}

fn config_of(dir: &Path) -> Value {
    serde_json::from_slice(&fs::read(dir.join("config.json")).unwrap()).unwrap()
}

/// The folder in another layout, with the names of its tensors.
fn converted(dir: &Path, layout: Layout) -> TempDir {
    let out = TempDir::new().unwrap();
    let config = MllmsegConfig::from_dir(dir).unwrap();
    let files = WeightFiles::open(dir).unwrap();
    let written = convert_weights(files, &config, layout, out.path(), u64::MAX).unwrap();
    let mut file = layout.config_json(config_of(dir)).unwrap();
    layout.set_tied(&mut file, written.is_tied);
    fs::write(out.path().join("config.json"), file.to_string()).unwrap();
    let _ = fs::copy(dir.join("adapter_config.json"), out.path().join("adapter_config.json")); // if any
    out
}

/// Every value of `before` is in `after`.
fn assert_keeps(before: &Value, after: &Value, at: &str) {
    match before {
        Value::Object(keys) => {
            keys.iter()
                .for_each(|(key, value)| assert_keeps(value, &after[key], &format!("{at}.{key}")));
        }
        _ => assert_eq!(before, after, "{at}"),
    }
}

fn assert_same_tensors(a: &Path, b: &Path) {
    let [a, b] = [a, b].map(|dir| read_safetensors(&dir.join("model.safetensors")).unwrap());
    assert!(a.keys().eq(b.keys()), "{:?} {:?}", a.keys(), b.keys());
    a.iter().for_each(|(name, tensor)| assert_eq!(tensor, &b[name], "{name}"));
}

#[test]
fn what_transformers_wrote_comes_back_from_the_other_layout() {
    for name in CASES {
        let native = fixture(name);
        let published = converted(&native, Layout::InternVl);
        let names = read_safetensors(&published.path().join("model.safetensors")).unwrap();
        for part in ["vision_model.encoder.layers.1.attn.qkv.weight", "mlp1.3.bias"] {
            assert!(names.contains_key(part), "{part}");
        }
        let is_packed = names.contains_key("language_model.model.layers.1.attention.wqkv.weight");
        assert_eq!(is_packed, name == "internlm2");
        let file = config_of(published.path());
        assert_eq!(
            file["llm_config"]["tie_word_embeddings"],
            ["qwen2_tied", "qwen3"].contains(&name)
        );
        assert_eq!(Layout::of(&file), Layout::InternVl);

        let again = converted(published.path(), Layout::Transformers);
        assert_same_tensors(&native, again.path());
        assert_keeps(&config_of(&native), &config_of(again.path()), name);
        let [before, after] =
            [&native, again.path()].map(|dir| MllmsegConfig::from_dir(dir).unwrap());
        assert_eq!(before, after);
        // The same of transformers 5, whose rotary keys become those that both versions read.
        let mut newer: Value =
            serde_json::from_slice(&fs::read(native.join("config_5.json")).unwrap()).unwrap();
        let parse =
            |file: &Value| MllmsegConfig::from_json(&file.to_string(), "5".as_ref()).unwrap();
        assert_eq!(parse(&newer), before);
        let file = Layout::InternVl.config_json(newer.clone()).unwrap();
        let after = Layout::Transformers.config_json(file).unwrap();
        assert_eq!(parse(&after), parse(&newer));
        newer["text_config"].as_object_mut().unwrap().remove("rope_parameters");
        assert_keeps(&newer, &after, name);
    }
}

/// Loaded, saved in the published layout, which has two tables always, and loaded again: the same weights.
#[test]
fn what_transformers_wrote_is_saved_in_the_published_layout() {
    for name in CASES {
        let load = |dir: &Path| {
            let mut config = MllmsegConfig::from_dir(dir).unwrap();
            let options = LoadOptions::default();
            let (model, report) = load_model(dir, &mut config, options, &Device::flex()).unwrap();
            (model, config, report.fresh_mask_decoder)
        };
        let (model, config, is_fresh) = load(&fixture(name));
        assert!(is_fresh);
        let out = TempDir::new().unwrap();
        save_model(&model, &config, None, out.path(), SaveOptions::default()).unwrap();
        let (again, config, is_fresh) = load(out.path());
        assert!(!config.language.tie_word_embeddings && !is_fresh);
        let values = |model: &Mllmseg| {
            let mut values = Vec::new();
            for_each_weight(model, |path, weight| {
                values.push((path.to_string(), weight.shape(), weight.values().into_data()));
            });
            values
        };
        assert_eq!(values(&model), values(&again), "{name}");
    }
}

/// Drawn models of the published layout, whose every tensor is another.
#[test]
fn published_models_come_back_from_the_layout_of_transformers() {
    let device = Device::flex();
    let internlm2 = |bias: bool| {
        let mut config = Preset::Tiny.config();
        let language = &mut config.language;
        language.architecture = Architecture::InternLm2;
        (language.bias, language.rms_norm_eps) = (bias, 1e-5);
        language.rope_scaling = RopeScaling::Dynamic(2.0);
        config
    };
    let mut qwen3 = Preset::Tiny.config();
    (qwen3.language.architecture, qwen3.language.head_dim) = (Architecture::Qwen3, Some(12));
    let cases = [Preset::Tiny.config(), qwen3, internlm2(true), internlm2(false)];
    for (config, rank) in cases.into_iter().flat_map(|config| [(config.clone(), 0), (config, 3)]) {
        let mut config = config;
        config.use_llm_lora = rank;
        let lora = (rank > 0).then(|| LoraConfig { alpha: 7.5, ..LoraConfig::published(rank) });
        let mut model = Mllmseg::new(&config, lora, &device);
        for layer in &mut model.language_model.layers {
            let up = &mut layer.feed_forward.up;
            if let Some(lora) = &mut up.lora {
                lora.b = lora.b.clone().map(|b| b.random_like(Distribution::Normal(0.0, 0.05)));
            }
        }
        let dir = TempDir::new().unwrap();
        let base =
            json!({ "model_type": "internvl_chat", "image_token_id": 5, "torch_dtype": "float32" });
        save_model(&model, &config, Some(&base), dir.path(), SaveOptions::default()).unwrap();
        let native = converted(dir.path(), Layout::Transformers);
        let file = config_of(native.path());
        assert_eq!(
            file["text_config"]["model_type"] == "llama",
            config.language.architecture == Architecture::InternLm2
        );
        let names = read_safetensors(&native.path().join("model.safetensors")).unwrap();
        let wqkv = names.keys().find(|name| name.contains("wqkv") || name.contains("vision_model"));
        assert_eq!(wqkv, None);
        let again = converted(native.path(), Layout::InternVl);
        assert_same_tensors(dir.path(), again.path());
        assert_keeps(&config_of(dir.path()), &config_of(again.path()), "config");
        // The model that is loaded from the other layout is saved there, and can be saved here.
        let mut read = MllmsegConfig::from_dir(native.path()).unwrap();
        let options = LoadOptions::default();
        let (model, _) = load_model(native.path(), &mut read, options, &device).unwrap();
        let (same, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        save_model(&model, &read, Some(&file), same.path(), SaveOptions::default()).unwrap();
        assert_same_tensors(native.path(), same.path());
        assert_keeps(&file, &config_of(same.path()), "config");
        let options = SaveOptions { layout: Some(Layout::InternVl), ..SaveOptions::default() };
        save_model(&model, &read, Some(&file), other.path(), options).unwrap();
        assert_same_tensors(dir.path(), other.path());
    }
}

#[test]
fn what_a_layout_has_no_place_for_is_refused_by_name() {
    let file = Preset::Tiny.config().to_json(Some(&json!({ "image_token_id": 5 })));
    let refused = |key: &str, value: Value| {
        let mut file = file.clone();
        file[key] = value;
        Layout::Transformers.config_json(file).unwrap_err()
    };
    assert!(refused("ps_version", json!("v1")).contains("ps_version"));
    assert!(refused("image_token_id", Value::Null).contains("<IMG_CONTEXT>"));

    // Adapters of queries, keys and values that PEFT made apart have no common factor A.
    let device = Device::flex();
    let mut config = Preset::Tiny.config();
    (config.language.architecture, config.use_llm_lora) = (Architecture::InternLm2, 3);
    let model = Mllmseg::new(&config, Some(LoraConfig::published(3)), &device);
    let dir = TempDir::new().unwrap();
    let options = SaveOptions { layout: Some(Layout::Transformers), ..SaveOptions::default() };
    save_model(&model, &config, Some(&json!({ "image_token_id": 5 })), dir.path(), options)
        .unwrap();
    let path = dir.path().join("model.safetensors");
    let mut tensors = read_safetensors(&path).unwrap();
    let key = tensors.keys().find(|name| name.contains("k_proj.lora_A")).unwrap().clone();
    let factor = tensors[&key].clone();
    let values: Vec<f32> = factor.iter::<f32>().map(|value| value + 1.0).collect();
    tensors.insert(key.clone(), burn::tensor::TensorData::new(values, factor.shape().clone()));
    mllmseg_model::checkpoint::write::write_safetensors(tensors.into_iter().collect(), &path)
        .unwrap();
    let mut read = MllmsegConfig::from_dir(dir.path()).unwrap();
    let error =
        load_model(dir.path(), &mut read, LoadOptions::default(), &device).unwrap_err().to_string();
    assert!(
        error.contains("wqkv.lora_A") && error.contains("k_proj") && error.contains("PEFT"),
        "{error}"
    );
}
