//! The numbers of other implementations on the CPU; `tests/gpu/parity.rs` has the other devices.

use burn::tensor::DType;
use mllmseg::device;
use mllmseg::model::checkpoint::safetensors::read_safetensors;
use mllmseg::model::checkpoint::write::write_safetensors;
use xtask::parity::{Dump, Tolerances, compare, run, train, transformers};
use xtask::weights::CheckpointOptions;

use super::support::*;

/// Runs a case and checks every expected tensor.
fn agrees(name: &str) {
    let dump = run(&case(name), &checkpoint(name), &device::cpu()).unwrap();
    let rows = compare(&dump, &case(name), Tolerances::CPU).unwrap();
    let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
    for expected in ["input_ids", "labels", "pred_ids", "vit_feature", "projected", "masks"] {
        assert!(names.contains(&expected), "{expected} was not compared");
    }
    for row in &rows {
        assert!(row.passes(), "{name}: {row}");
    }
}

#[test]
fn qwen2_on_the_cpu() {
    agrees("qwen2");
}

#[test]
fn internlm2_with_lora_and_dynamic_rope_on_the_cpu() {
    agrees("internlm2_lora");
}

/// Every model that transformers saved and every adapter that PEFT saved. An adapter that is left out is seen.
#[test]
fn transformers_and_peft_on_the_cpu() {
    let cases = transformers::Case::all(&tests("fixtures"));
    let adapters = cases.iter().filter(|case| case.adapter.is_some()).count();
    assert_eq!(adapters, names(&tests("fixtures/peft")).len());
    assert_eq!(cases.len() - adapters, names(&tests("fixtures/native")).len());
    for mut case in cases {
        let found = case.run(&device::cpu()).unwrap();
        let rows = case.compare(&found, Tolerances::CPU).unwrap();
        let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["vision", "projected", "hidden", "logits", "argmax_ids"]);
        for row in rows {
            println!("{case}: {row}");
            assert!(row.passes(), "{case}: {row}");
        }
        if case.adapter.take().is_some() {
            let rows = case.compare(&found, Tolerances::CPU).unwrap();
            let passed: Vec<_> = rows.iter().filter(|row| row.passes()).collect();
            let passed: Vec<_> = passed.iter().map(|row| row.name.as_str()).collect();
            assert_eq!(passed[..2], ["vision", "projected"]);
            assert!(!passed.contains(&"hidden") && !passed.contains(&"logits"));
        }
    }
}

/// Half-precision weights in shards, computed in f32, give what the same rounded weights give that
/// are stored in f32.
#[test]
fn half_precision_shards_are_read_to_the_last_bit() {
    for dtype in [DType::BF16, DType::F16] {
        let half = drawn("qwen2", CheckpointOptions { shards: 3, dtype });
        let rounded = copy_of(&checkpoint("qwen2"));
        let mut tensors = Vec::new();
        for name in names(half.path()).iter().filter(|name| name.ends_with(".safetensors")) {
            tensors.extend(read_safetensors(&half.path().join(name)).unwrap());
        }
        for (_, data) in tensors.iter_mut().filter(|(_, data)| data.dtype().is_float()) {
            assert_eq!(data.dtype(), dtype);
            *data = data.clone().convert_dtype(DType::F32);
        }
        write_safetensors(tensors, &rounded.path().join("model.safetensors")).unwrap();
        let [found, expected] = [&half, &rounded]
            .map(|folder| run(&case("qwen2"), folder.path(), &device::cpu()).unwrap());
        for (name, expected) in &expected.arrays {
            assert!(found.arrays[name] == *expected, "{dtype:?}: {name} differs");
        }
        // The ids are the published ones, and the weights were rounded.
        for row in compare(&found, &case("qwen2"), Tolerances::CPU).unwrap() {
            match row.name.as_str() {
                "input_ids" | "labels" | "pred_ids" | "pixel_values" => {
                    assert!(row.passes(), "{row}");
                }
                _ => assert!(row.difference > 0.0, "{row}"),
            }
        }
    }
}

/// Losses, gradients and six steps of AdamW.
fn training_agrees(name: &str, trained_tensors: usize) {
    let mut computed = Dump::default();
    let has_masks =
        train::run(&case(name), &checkpoint(name), &device::cpu(), &mut computed).unwrap();
    assert!(has_masks);
    assert_eq!(computed.grad_norms.len(), trained_tensors);
    let rows = compare(&computed, &case(name), Tolerances::CPU).unwrap();
    // Five losses, two views of the trajectory, the norms of gradients.
    assert_eq!(rows.len(), 8, "{rows:?}");
    for row in rows {
        assert!(row.passes(), "{name}: {row}");
    }
}

/// No adapters: every weight is trained, the vision encoder and the token table too.
#[test]
fn qwen2_trains_as_published() {
    training_agrees("qwen2", 119);
}

/// Separate adapters and the mask decoder are trained; one of two expressions is rejected.
#[test]
fn internlm2_with_adapters_trains_as_published() {
    training_agrees("internlm2_lora", 74);
}
