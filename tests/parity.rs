//! The published implementation's numbers on the CPU; `parity_gpu.rs` has the other devices.

use std::path::{Path, PathBuf};

use burn::tensor::DType;
use mllmseg::device;
use xtask::parity::{Tolerances, compare, run};
use xtask::weights::{CheckpointOptions, write_checkpoint};

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(name)
}

fn drawn(name: &str, options: CheckpointOptions) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_checkpoint(&case(name), dir.path(), &options).unwrap();
    dir
}

/// Runs a case and checks every expected tensor.
fn assert_parity(name: &str, device: &device::SelectedDevice, tolerances: Tolerances) {
    let checkpoint = drawn(name, CheckpointOptions::default());
    let dump = run(&case(name), checkpoint.path(), device).unwrap();
    let rows = compare(&dump, &case(name), tolerances).unwrap();
    let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
    for expected in ["input_ids", "labels", "pred_ids", "vit_feature", "projected", "masks"] {
        assert!(names.contains(&expected), "{expected} was not compared");
    }
    for row in &rows {
        assert!(row.passes(), "{name} on {}: {row}", device.id);
    }
}

#[test]
fn qwen2_on_the_cpu() {
    assert_parity("qwen2", &device::cpu(), Tolerances::CPU);
}

#[test]
fn internlm2_with_lora_and_dynamic_rope_on_the_cpu() {
    assert_parity("internlm2_lora", &device::cpu(), Tolerances::CPU);
}

/// bf16 weights in shards, computed in f32: exact for the ids, and near the f32 weights' masks.
#[test]
fn bf16_shards_are_read_to_their_precision() {
    let options = CheckpointOptions { shards: 3, dtype: DType::BF16 };
    let checkpoint = drawn("qwen2", options);
    let dump = run(&case("qwen2"), checkpoint.path(), &device::cpu()).unwrap();
    // 8 bits of mantissa through two layers of each kind: hundredths, where values reach 72.
    let tolerances = Tolerances { features: 0.5, states: 0.5, masks: 0.5, ..Tolerances::CPU };
    for row in compare(&dump, &case("qwen2"), tolerances).unwrap() {
        assert!(row.passes(), "{row}");
        let exact = row.name.ends_with("_ids") || row.name == "labels";
        assert!(exact || row.name == "pixel_values" || row.difference > 0.0, "{row}");
    }
}
