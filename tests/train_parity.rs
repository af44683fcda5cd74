//! Losses, gradients and six steps of AdamW against the published implementation's numbers.

use std::path::PathBuf;

use mllmseg::device;
use xtask::parity::{Dump, Tolerances, compare, train};
use xtask::weights::{CheckpointOptions, write_checkpoint};

fn training_agrees(case: &str, trained_tensors: usize) {
    let case = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(case);
    let checkpoint = tempfile::tempdir().unwrap();
    write_checkpoint(&case, checkpoint.path(), &CheckpointOptions::default()).unwrap();
    let mut computed = Dump::default();
    let has_masks = train::run(&case, checkpoint.path(), &device::cpu(), &mut computed).unwrap();
    assert!(has_masks);
    assert_eq!(computed.grad_norms.len(), trained_tensors);
    let rows = compare(&computed, &case, Tolerances::CPU).unwrap();
    // Five losses, two views of the trajectory, the norms of gradients.
    assert_eq!(rows.len(), 8, "{rows:?}");
    let failed: Vec<String> =
        rows.iter().filter(|row| !row.passes()).map(ToString::to_string).collect();
    assert!(failed.is_empty(), "{failed:#?}");
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
