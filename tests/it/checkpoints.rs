//! Every layout loads, and what is saved loads again, in the names of published files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::{DType, Tensor};
use mllmseg::model::checkpoint::{
    CheckpointError, LoadOptions, SaveOptions, load_model, save_model,
};
use mllmseg::model::lora::LoraConfig;
use mllmseg::model::{Mllmseg, MllmsegConfig};
use mllmseg::{Room, Segmenter, device, tiny};
use safetensors::{Dtype, SafeTensors};
use xtask::weights::CheckpointOptions;

use super::support::{
    assert_says, checkpoint, copy_of, drawn, f32s, image_of, names, tensors_of, tests,
};

fn small_config() -> MllmsegConfig {
    MllmsegConfig::from_dir(&tests("fixtures/pytorch_bin")).unwrap()
}

fn save(model: &Mllmseg, config: &MllmsegConfig, dir: &Path, options: SaveOptions) {
    save_model(model, config, None, dir, options).unwrap();
}

/// The largest difference of two weights of the same shape.
fn difference<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> f32 {
    (a - b).abs().max().into_scalar()
}

/// What is loaded from a reference checkpoint is saved with the same names, shapes and values.
#[test]
fn saving_gives_back_every_published_tensor() {
    let shards = drawn("internlm2_lora", CheckpointOptions { shards: 3, ..Default::default() });
    for (name, dir) in [("qwen2", &*checkpoint("qwen2")), ("internlm2_lora", shards.path())] {
        let out = tempfile::tempdir().unwrap();
        let segmenter = Segmenter::load(dir, &device::cpu()).unwrap();
        let options = SaveOptions { max_shard_bytes: 20_000_000, ..Default::default() };
        segmenter.save(out.path(), options).unwrap();
        assert_eq!(tensors_of(dir), tensors_of(out.path()));
        assert!(out.path().join("model.safetensors.index.json").exists());

        let again = Segmenter::load(out.path(), &device::cpu()).unwrap();
        let image = image_of(name);
        let [first, second] = [&segmenter, &again].map(|model| model.encode(&image).unwrap());
        let [first, second] = [&first, &second].map(|session| session.segment("dog").unwrap());
        assert_eq!(first.probabilities, second.probabilities);
    }
}

#[test]
fn pytorch_files_load_with_their_views_and_dtypes() {
    let dir = tests("fixtures/pytorch_bin");
    let mut config = small_config();
    let cpu = device::cpu().device;
    let (model, report) = load_model(&dir, &mut config, LoadOptions::default(), &cpu).unwrap();
    assert!(!report.fresh_mask_decoder);

    let out = tempfile::tempdir().unwrap();
    save(&model, &config, out.path(), SaveOptions::default());
    let text = fs::read(dir.join("expected.json")).unwrap();
    let expected: BTreeMap<String, (Vec<usize>, f64)> = serde_json::from_slice(&text).unwrap();
    let saved = tensors_of(out.path());
    assert_eq!(saved.len(), expected.len());
    for (name, (dtype, shape, bytes)) in saved {
        let (expected_shape, expected_sum) = &expected[&name];
        assert_eq!(&shape, expected_shape, "{name}");
        let values: Vec<f64> = match dtype {
            Dtype::I64 => {
                bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect()
            }
            _ => f32s(&bytes).into_iter().map(f64::from).collect(),
        };
        let weighted = values.iter().enumerate().map(|(i, value)| value * (i % 7 + 1) as f64);
        let sum: f64 = weighted.sum();
        assert!((sum - expected_sum).abs() < 1e-6, "{name}: {sum} and {expected_sum}");
    }
}

#[test]
fn sharded_half_precision_files_load_in_any_dtype() {
    let config = small_config();
    let cpu = device::cpu().device;
    let model = Mllmseg::new(&config, None, &cpu);
    let dir = tempfile::tempdir().unwrap();
    for (dtype, tolerance) in [(DType::F32, 0.0), (DType::BF16, 4e-3), (DType::F16, 5e-4)] {
        let options = SaveOptions { dtype, max_shard_bytes: 20_000, ..Default::default() };
        save(&model, &config, dir.path(), options);
        let mut again = config.clone();
        let (loaded, _) = load_model(dir.path(), &mut again, LoadOptions::default(), &cpu).unwrap();
        assert_eq!(loaded.dtype(), DType::F32);
        let [before, after] =
            [&model, &loaded].map(|model| model.language_model.lm_head.weight.val());
        let found = difference(before, after);
        assert!(found <= tolerance, "{dtype:?}: {found}");
        let [before, after] =
            [&model, &loaded].map(|model| model.mask_decoder.text_down.weight.val());
        assert_eq!(difference(before, after), 0.0, "the decoder is f32");
    }
}

#[test]
fn base_models_grow_by_two_tokens_and_get_a_fresh_decoder() {
    let config = small_config();
    let cpu = device::cpu().device;
    let dir = tempfile::tempdir().unwrap();
    save(&Mllmseg::new(&config, None, &cpu), &config, dir.path(), SaveOptions::default());
    without_decoder(dir.path());

    let mut grown = config.clone();
    let lora = LoraConfig::published(2);
    let options = LoadOptions { vocab_size: Some(32), new_lora: Some(lora), ..Default::default() };
    let (model, report) = load_model(dir.path(), &mut grown, options, &cpu).unwrap();
    assert!(report.fresh_mask_decoder && report.new_token_rows == 2);
    assert_eq!(grown.language.vocab_size, 32);
    let output = model.language_model.lm_head.weight.val(); // [d, 32]
    let old: Tensor<2> = output.clone().narrow(1, 0, 30).mean_dim(1);
    for row in [30, 31] {
        let found = difference(output.clone().narrow(1, row, 1), old.clone());
        assert!(found < 1e-6, "new output rows are the mean of the old");
    }
    assert_eq!(model.language_model.embed_tokens.weight.dims(), [32, 12]);

    let mut config = config;
    let options = LoadOptions { vocab_size: Some(40), ..Default::default() };
    match load_model(dir.path(), &mut config, options, &cpu) {
        Err(error @ CheckpointError::Vocabulary { expected: 40, found: 30, .. }) => {
            assert!(error.to_string().contains("40 tokens"), "{error}");
        }
        other => panic!("{:?}", other.map(|(_, report)| report)),
    }
}

/// New rows are drawn and read at once, which a GPU of a browser cannot.
#[test]
fn a_base_model_that_is_not_on_the_disk_loads_on_the_cpu_only() {
    let dir = copy_of(&tiny::folder().unwrap());
    without_decoder(dir.path());
    let read = |name: String| (name.clone(), fs::read(dir.path().join(name)).unwrap());
    let files: BTreeMap<_, _> = names(dir.path()).into_iter().map(read).collect();
    let files = Arc::new(files);
    let load = |room| Segmenter::from_files("base".as_ref(), files.clone(), &room);
    assert!(load(Room::Cpu(u64::MAX)).unwrap().report.fresh_mask_decoder);
    let error = load(Room::Gpu(device::cpu(), u64::MAX)).unwrap_err();
    assert_says(error, &["base: it has no mask decoder", "on the CPU only"]);
}

/// Takes `res_decoder.*` out of `model.safetensors`.
fn without_decoder(dir: &Path) {
    let path = dir.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let kept = file.tensors().into_iter().filter(|(name, _)| !name.starts_with("res_decoder."));
    fs::write(&path, safetensors::serialize(kept, None).unwrap()).unwrap();
}
