//! The numbers of other implementations on every GPU and software Vulkan device at hand.

use std::path::{Path, PathBuf};

use mllmseg::device::SelectedDevice;
use xtask::parity::{Row, Tolerances, compare, run, transformers};
use xtask::weights::{CheckpointOptions, write_checkpoint};

fn tests(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(path)
}

fn assert_passes(case: impl std::fmt::Display, device: &SelectedDevice, rows: &[Row]) {
    for row in rows {
        println!("{case} on {} ({}): {row}", device.id, device.name);
        assert!(row.passes(), "{case} on {} ({}): {row}", device.id, device.name);
    }
}

#[test]
fn gpus_agree_with_the_published_outputs() {
    for device in super::gpus() {
        // A software rasteriser takes minutes for each. The first is the one with adapters, dynamic rotary scaling and a
        // rejection; Qwen2 is among the cases of transformers.
        let count = if device.is_hardware_gpu { 2 } else { 1 };
        for name in &["internlm2_lora", "qwen2"][..count] {
            let case = tests("reference").join(name);
            let checkpoint = tempfile::tempdir().unwrap();
            write_checkpoint(&case, checkpoint.path(), &CheckpointOptions::default()).unwrap();
            let dump = run(&case, checkpoint.path(), &device).unwrap();
            let rows = compare(&dump, &case, Tolerances::GPU).unwrap();
            assert!(rows.iter().any(|row| row.name == "masks"), "masks were not compared");
            assert_passes(name, &device, &rows);
        }
    }
}

#[test]
fn gpus_agree_with_transformers_and_peft() {
    for device in super::gpus() {
        for case in transformers::Case::all(&tests("fixtures")) {
            let rows = case.compare(&case.run(&device).unwrap(), Tolerances::GPU).unwrap();
            assert_eq!(rows.len(), 5, "four stages and the arg-max");
            assert_passes(case, &device, &rows);
        }
    }
}
