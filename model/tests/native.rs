//! Models that transformers wrote in its own layout, and what transformers computes with them
//! (`tests/oracle/native_internvl.py`): InternVL with Qwen2, Qwen3 and InternLM2 (as Llama), with tied
//! tables and with two.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor, TensorData};
use mllmseg_model::checkpoint::safetensors::read_safetensors;
use mllmseg_model::checkpoint::{LoadOptions, SaveOptions, load_model, save_model};
use mllmseg_model::{Mllmseg, MllmsegConfig};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/native").join(name)
}

fn load(dir: &Path) -> (Mllmseg, MllmsegConfig) {
    let mut config = MllmsegConfig::from_dir(dir).unwrap();
    let device = Device::flex();
    let (model, report) = load_model(dir, &mut config, LoadOptions::default(), &device).unwrap();
    assert!(report.fresh_mask_decoder);
    (model, config)
}

/// The largest difference of any stage from what transformers computes.
fn compare(name: &str, model: &Mllmseg) {
    let expected = read_safetensors(&folder(name).join("expected.safetensors")).unwrap();
    let device = Device::flex();
    let pixels = Tensor::from_data(expected["pixels"].clone(), &device);
    let ids = Tensor::<2, Int>::from_data(expected["input_ids"].clone(), &device);
    let (state, _) = model.forward(pixels, ids, 2, &[]);
    let logits = model.language_model.lm_head.forward(state.hidden.clone());
    let argmax = |data: &TensorData| -> Vec<usize> {
        let values: Vec<f32> = data.iter().collect();
        let rows = values.chunks(48);
        rows.map(|row| (0..48).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap()).collect()
    };
    let logits = logits.into_data();
    assert_eq!(argmax(&logits), argmax(&expected["logits"]));
    for (stage, found) in [
        ("vision", state.image_tokens.into_data()),
        ("projected", state.projected.into_data()),
        ("hidden", state.hidden.into_data()),
        ("logits", logits),
    ] {
        assert_eq!(found.shape(), expected[stage].shape(), "{stage}");
        let pairs = found.iter::<f32>().zip(expected[stage].iter::<f32>());
        let worst = pairs.fold(0f32, |worst, (a, b)| worst.max((a - b).abs()));
        println!("{name} {stage}: {worst:e}");
        assert!(worst <= 2e-5, "{name} {stage}: {worst}");
    }
}

#[test]
fn every_stage_equals_that_of_transformers() {
    for name in ["qwen2", "qwen2_tied", "qwen3", "qwen3_untied", "internlm2"] {
        let (model, config) = load(&folder(name));
        compare(name, &model);
        // The same configuration, written by transformers 5.
        let newer = tempfile::tempdir().unwrap();
        for (from, to) in
            [("config_5.json", "config.json"), ("model.safetensors", "model.safetensors")]
        {
            std::fs::copy(folder(name).join(from), newer.path().join(to)).unwrap();
        }
        let (model_5, config_5) = load(newer.path());
        assert_eq!(config_5, config);
        compare(name, &model_5);
        // Saved in the published layout, and read again.
        let out = tempfile::tempdir().unwrap();
        save_model(&model, &config, None, out.path(), SaveOptions::default()).unwrap();
        let mut again = MllmsegConfig::from_dir(out.path()).unwrap();
        let options = LoadOptions::default();
        let (model, _) = load_model(out.path(), &mut again, options, &Device::flex()).unwrap();
        compare(name, &model);
        assert!(!again.language.tie_word_embeddings);
    }
}
