//! `merge_lora`: the same masks without adapters, in a folder that appears whole or not at all.

use std::fs;
use std::path::PathBuf;

use burn::tensor::DType;
use mllmseg::data::files::FileError;
use mllmseg::merge::{MergeError, merge_lora};
use mllmseg::model::checkpoint::{
    CheckpointError, LoadOptions, SaveOptions, WeightFiles, load_model, save_model,
};
use mllmseg::model::lora::LoraConfig;
use mllmseg::model::{Mllmseg, MllmsegConfig, Preset};
use mllmseg::{Segmenter, device};
use safetensors::{Dtype, SafeTensors};
use tempfile::TempDir;
use xtask::weights::CheckpointOptions;

use super::support::*;

/// A folder with a copy of the checkpoint of a reference case, `in`, beside which `out` is to go.
fn folder(name: &str) -> (TempDir, PathBuf, PathBuf) {
    let folder = scratch();
    let [input, output] = ["in", "out"].map(|name| folder.path().join(name));
    copy_folder(&checkpoint(name), &input);
    (folder, input, output)
}

/// `W + 2 B A` by the definition, in f64.
fn folded(weight: &[f32], a: &[f32], b: &[f32], [d_output, d_input, rank]: [usize; 3]) -> Vec<f64> {
    let mut sums = Vec::with_capacity(weight.len());
    for row in 0..d_output {
        for column in 0..d_input {
            let update: f64 = (0..rank)
                .map(|k| f64::from(b[row * rank + k]) * f64::from(a[k * d_input + column]))
                .sum();
            sums.push(f64::from(weight[row * d_input + column]) + 2.0 * update);
        }
    }
    sums
}

#[test]
fn the_reference_case_keeps_its_masks_and_gets_the_names_of_a_model_without_lora() {
    let folder = drawn("internlm2_lora", CheckpointOptions { shards: 3, ..Default::default() });
    let (input, out) = (folder.path(), scratch());
    let output = &*out.path().join("out");
    let adapter = r#"{"peft_type": "LORA", "r": 4, "lora_alpha": 8}"#; // the published scale, 2
    fs::write(input.join("adapter_config.json"), adapter).unwrap();
    fs::write(input.join("modeling_internvl_chat.py"), "# code").unwrap();
    fs::write(input.join("training_args.bin"), "state").unwrap();
    let report = merge_lora(input, output, None).unwrap();
    assert_eq!((report.rank, report.adapters), (4, 10), "five layers in each of two blocks");

    let (before, after) = (tensors_of(input), tensors_of(output));
    assert_eq!((after.len(), report.written.tensors), (before.len() - 20, after.len()));
    let prefix = "language_model.base_model.model.";
    for (name, (dtype, shape, bytes)) in &before {
        let plain = name.replacen(prefix, "language_model.", 1);
        let Some(layer) = name.strip_suffix(".base_layer.weight") else {
            if !name.contains(".lora_") {
                assert_eq!(after[&plain], (*dtype, shape.clone(), bytes.clone()), "{name}");
            }
            continue;
        };
        let (_, merged_shape, merged) = &after[&plain.replace(".base_layer", "")];
        assert_eq!(merged_shape, shape);
        let [a, b] = ["A", "B"]
            .map(|which| f32s(&before[&format!("{layer}.lora_{which}.default.weight")].2));
        let expected = folded(&f32s(bytes), &a, &b, [shape[0], shape[1], 4]);
        let merged = f32s(merged);
        let worst = merged.iter().zip(&expected).map(|(x, y)| (f64::from(*x) - y).abs());
        assert!(worst.fold(0.0, f64::max) < 1e-6, "{name}");
    }

    let [mut expected, config] = [input, output].map(|dir| read_json(&dir.join("config.json")));
    assert_eq!(expected["use_llm_lora"], 4);
    expected["use_llm_lora"] = 0.into();
    assert_eq!(config, expected);
    for name in [
        "tokenizer.model",
        "added_tokens.json",
        "tokenizer_config.json",
        "modeling_internvl_chat.py",
    ] {
        assert_eq!(fs::read(input.join(name)).unwrap(), fs::read(output.join(name)).unwrap());
    }
    for name in ["adapter_config.json", "training_args.bin", "model.safetensors.index.json"] {
        assert!(!output.join(name).exists(), "{name}");
    }

    let image = image_of("internlm2_lora");
    let case = read_json(&case("internlm2_lora").join("case.json"));
    let [separate, merged] =
        [input, output].map(|dir| Segmenter::load(dir, &device::cpu()).unwrap());
    assert_eq!((separate.report.lora_rank, merged.report.lora_rank), (Some(4), None));
    let [separate, merged] = [&separate, &merged].map(|model| model.encode(&image).unwrap());
    for expression in case["expressions"].as_array().unwrap() {
        let expression = expression.as_str().unwrap();
        let [a, b] = [&separate, &merged].map(|session| session.segment(expression).unwrap());
        let worst = difference(&a.probabilities, &b.probabilities);
        assert!(worst <= 1e-4, "{expression}: {worst}");
        assert_eq!(a.rejected, b.rejected);
    }
}

/// Weights drawn here, with factors that are not zero, in every architecture's smallest form.
#[test]
fn a_tiny_model_keeps_its_masks() {
    use burn::tensor::{Distribution, Int, Tensor};
    use mllmseg::model::mllmseg::SegToken;
    let cpu = device::cpu().device;
    let mut config = Preset::Tiny.config();
    config.use_llm_lora = 3;
    let mut model = Mllmseg::new(&config, Some(LoraConfig::published(3)), &cpu);
    for layer in &mut model.language_model.layers {
        let lora = layer.feed_forward.down.lora.as_mut().unwrap();
        lora.b = lora.b.clone().map(|b| b.random_like(Distribution::Normal(0.0, 0.05)));
    }
    let folder = TempDir::new().unwrap();
    let [input, output] = ["in", "out"].map(|name| folder.path().join(name));
    save_model(&model, &config, None, &input, SaveOptions::default()).unwrap();
    fs::create_dir(&output).unwrap(); // an empty folder may be there
    let report = merge_lora(&input, &output, None).unwrap();
    assert_eq!((report.rank, WeightFiles::open(&output).unwrap().adapter()), (3, None));

    let mut merged_config = MllmsegConfig::from_dir(&output).unwrap();
    assert_eq!(merged_config.use_llm_lora, 0);
    let options = LoadOptions::default();
    let (merged, _) = load_model(&output, &mut merged_config, options, &cpu).unwrap();
    let size = config.image_size;
    let length = config.num_image_tokens() + 12;
    let pixels = Tensor::random([1, 3, size, size], Distribution::Normal(0.0, 1.0), &cpu);
    let ids = Tensor::<1, Int>::arange(0..length as i64, &cpu).reshape([1, length]);
    let segs = [SegToken { row: 0, position: length - 1, image: 0 }];
    let [before, after] = [&model, &merged]
        .map(|model| model.forward(pixels.clone(), ids.clone(), 5, &segs).1.unwrap().masks);
    let worst = (before - after).abs().max().into_scalar::<f32>();
    assert!(worst <= 1e-4, "{worst}");
}

#[test]
fn number_types_on_disk_stay() {
    for (dtype, on_disk) in [(DType::BF16, Dtype::BF16), (DType::F16, Dtype::F16)] {
        let options = CheckpointOptions { dtype, ..Default::default() };
        let (folder, out) = (drawn("internlm2_lora", options), scratch());
        let output = out.path().join("out");
        merge_lora(folder.path(), &output, None).unwrap();
        for (name, (dtype, _, _)) in tensors_of(&output) {
            let expected = if name.ends_with("num_batches_tracked") { Dtype::I64 } else { on_disk };
            assert_eq!(dtype, expected, "{name}");
        }
        Segmenter::load(&output, &device::cpu()).unwrap();
    }
}

#[test]
fn what_cannot_be_merged_leaves_nothing_behind() {
    let (place, input, output) = folder("qwen2");
    let error = merge_lora(&input, &output, None).unwrap_err();
    assert!(matches!(&error, MergeError::Checkpoint(CheckpointError::NoLora { .. })), "{error}");
    assert!(error.to_string().contains("no LoRA to merge"), "{error}");
    assert_eq!(names(place.path()), ["in"]);

    let (place, input, output) = folder("internlm2_lora");
    // A folder that is not empty, a file, and the checkpoint itself are never written over.
    fs::create_dir(&output).unwrap();
    fs::write(output.join("mine"), "1").unwrap();
    fs::write(place.path().join("file"), "1").unwrap();
    for (name, found) in
        [("out", "a folder with files"), ("file", "a file"), ("in", "a folder with files")]
    {
        let error = merge_lora(&input, &place.path().join(name), None).unwrap_err();
        assert!(matches!(error, MergeError::File(FileError::InTheWay { .. })), "{error}");
        assert!(error.to_string().contains(found), "{error}");
    }
    assert_eq!(names(place.path()), ["file", "in", "out"]);

    // A factor of another shape, and one that is missing: both are named.
    let path = input.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let layers = "language_model.base_model.model.model.layers";
    let gone = format!("{layers}.1.attention.wo.lora_A.default.weight");
    let kept = file.tensors().into_iter().filter(|(name, _)| *name != gone);
    replace(&path, safetensors::serialize(kept, None).unwrap());
    let new = place.path().join("new");
    assert_says(merge_lora(&input, &new, None).unwrap_err(), &[&format!("missing tensor {gone}")]);
    let changed = format!("{layers}.0.feed_forward.w1.lora_B.default.weight");
    let narrow = file.tensor(&format!("{layers}.0.feed_forward.w2.lora_B.default.weight")).unwrap();
    let swapped = file.tensors().into_iter().map(|(name, view)| match name == changed {
        true => (name, narrow.clone()),
        false => (name, view),
    });
    replace(&path, safetensors::serialize(swapped, None).unwrap());
    let words = "feed_forward.w1.weight: expected [out, in] with factors";
    assert_says(merge_lora(&input, &new, None).unwrap_err(), &[words]);
    assert_eq!(names(place.path()), ["file", "in", "out"]);
}

#[test]
fn the_command_merges_and_says_so() {
    let (_folder, input, output) = folder("internlm2_lora");
    let said = printed(mllmseg(["merge-lora"]).args([&input, &output]));
    assert_says(&said, &["10 adapters of rank 4 folded in"]);
    let again = input.with_file_name("again");
    assert_says(failure(mllmseg(["merge-lora"]).args([&output, &again])), &["error: ", "no LoRA"]);
}
