//! Weights in fewer bits: masks close to those of f32, or the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::DType;
use mllmseg::data::refer::Dataset;
use mllmseg::model::checkpoint::{LoadOptions, SaveOptions};
use mllmseg::model::quantize::Quantization;
use mllmseg::scenes::World;
use mllmseg::{Room, Segmenter, device};
use safetensors::SafeTensors;
use xtask::tiny_model::{measure, synth};
use xtask::weights::CheckpointOptions;

use super::support::*;

fn load(folder: &std::path::Path, kept: Quantization) -> Segmenter {
    Segmenter::load_quantized(folder, None, &device::cpu(), kept).unwrap()
}

/// Probabilities of the case's expressions on its image.
fn masks(segmenter: &Segmenter, name: &str) -> Vec<f32> {
    let texts = read_json(&case(name).join("case.json"));
    let image = image_of(name);
    let prompt =
        segmenter.tokenize(texts["question"].as_str().unwrap(), texts["answer"].as_str()).unwrap();
    let (_, segmented) = segmenter.forward_plain(segmenter.pixels(&image), &prompt);
    segmented.unwrap().masks.into_data().iter().collect()
}

/// At most 0.5 points of cIoU between 8 bits and f32, over scenes that no training drew.
#[test]
fn the_tiny_model_in_8_bits_segments_as_well() {
    let folder = scratch();
    synth(folder.path(), World::small(), (40, 0), 31).unwrap();
    let checkpoint = root().join("assets/tiny");
    let [whole, q8] = [Quantization::None, Quantization::Q8].map(|kept| {
        let segmenter = load(&checkpoint, kept);
        let summary = measure(&segmenter, folder.path(), Dataset::RefCoco).unwrap().summary;
        summary.numbers.get("ciou").unwrap()
    });
    println!("cIoU in f32 {whole:.3}, in 8 bits {q8:.3}");
    assert!(whole > 88.0 && (whole - q8).abs() <= 0.5, "{whole} and {q8}");
}

/// At most 0.05 of mean absolute difference from the published implementation's masks.
#[test]
fn reference_cases_in_8_bits_are_close_to_the_published_masks() {
    for name in ["qwen2", "internlm2_lora"] {
        let found = masks(&load(&checkpoint(name), Quantization::Q8), name);
        let (_, expected) = floats(&case(name).join("expected.safetensors"), "masks");
        let sum: f32 = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).sum();
        let mean = sum / expected.len() as f32;
        println!("{name}: {mean:.5}");
        assert!(mean > 0.0 && mean <= 0.05, "{name}: {mean}");
    }
}

/// bf16 of a bf16 file loses nothing, and the sums are in f32 in the same order.
#[test]
fn a_bf16_file_kept_in_bf16_gives_the_same_masks() {
    let folder = drawn("qwen2", CheckpointOptions { dtype: DType::BF16, ..Default::default() });
    let [whole, kept] = [Quantization::None, Quantization::Bf16]
        .map(|kept| masks(&load(folder.path(), kept), "qwen2"));
    assert!(whole == kept);
}

#[test]
fn what_cannot_be_kept_in_fewer_bits_is_said() {
    let q8 = load(&root().join("assets/tiny"), Quantization::Q8);
    let error = q8.save(scratch().path(), SaveOptions::default()).unwrap_err();
    assert_says(error, &["--quantize"]);
    let gpu = device::SelectedDevice { id: "cuda:0".into(), ..device::cpu() };
    let error = Segmenter::load_quantized(root().join("assets/tiny"), None, &gpu, Quantization::Q8);
    assert_says(error.unwrap_err(), &["cuda:0", "--device cpu", "--dtype bf16 or f16"]);
    let image = root().join("examples/scene.png");
    let segment = |arguments: &[&str]| {
        let mut command = mllmseg(["segment", "--device", "cpu", "--json", "--out"]);
        command.arg(scratch().path()).args(arguments).arg(&image).arg("the red star");
        command
    };
    assert_says(failure(&mut segment(&["--quantize", "q8", "--dtype", "bf16"])), &["--dtype f32"]);
    assert!(printed(&mut segment(&["--quantize", "q8"])).contains("the red star"));
}

/// The same, of a checkpoint in shards that is not on the disk: as many bits as there is memory for.
#[test]
fn held_files_are_kept_in_as_many_bits_as_fit() {
    let sharded = CheckpointOptions { shards: 3, ..Default::default() };
    let folder = drawn("qwen2", sharded);
    let read = |name: String| (name.clone(), std::fs::read(folder.path().join(name)).unwrap());
    let files: BTreeMap<String, Vec<u8>> = names(folder.path()).into_iter().map(read).collect();
    let files = Arc::new(files);
    let held = |room| Segmenter::from_files("held".as_ref(), files.clone(), &room);
    let kept = [Quantization::None, Quantization::Bf16, Quantization::Q8];
    let bytes = kept.map(|quantization| {
        let from_disk = load(folder.path(), quantization);
        let options = LoadOptions { quantization, ..Default::default() };
        let bytes = options.bytes(&from_disk.model);
        let segmenter = held(Room::Cpu(bytes)).unwrap();
        assert_eq!(segmenter.report.quantization, quantization);
        assert_eq!(masks(&segmenter, "qwen2"), masks(&from_disk, "qwen2"));
        bytes
    });
    assert!(bytes[0] > bytes[1] && bytes[1] > bytes[2], "{bytes:?}");
    let error = held(Room::Cpu(bytes[2] - 1)).unwrap_err().to_string();
    assert_says(error, &["held: ", "GB in 8 bits"]);
    // A GPU takes whole tensors up to a size; here the CPU plays one.
    let tensors = files.iter().filter(|(name, _)| name.ends_with(".safetensors"));
    let sizes = tensors.flat_map(|(_, bytes)| {
        let tensors = SafeTensors::deserialize(bytes).unwrap().tensors();
        tensors.into_iter().map(|(_, tensor)| tensor.data().len() as u64).collect::<Vec<_>>()
    });
    let largest = sizes.max().unwrap();
    let gpu = || device::SelectedDevice { id: "webgpu".into(), ..device::cpu() };
    let whole = held(Room::Gpu(gpu(), largest)).unwrap();
    assert_eq!(masks(&whole, "qwen2"), masks(&load(folder.path(), Quantization::None), "qwen2"));
    let error = held(Room::Gpu(gpu(), largest - 1)).unwrap_err().to_string();
    assert_says(error, &["held: its largest weight", "webgpu takes"]);
}
