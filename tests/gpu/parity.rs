//! The published implementation's numbers on every GPU and software Vulkan device at hand.

use std::path::Path;

use xtask::parity::{Tolerances, compare, run};
use xtask::weights::{CheckpointOptions, write_checkpoint};

#[test]
fn gpus_agree_with_the_published_outputs() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for device in super::gpus() {
        for name in ["qwen2", "internlm2_lora"] {
            let case = tests.join("reference").join(name);
            let checkpoint = tempfile::tempdir().unwrap();
            write_checkpoint(&case, checkpoint.path(), &CheckpointOptions::default()).unwrap();
            let dump = run(&case, checkpoint.path(), &device).unwrap();
            let rows = compare(&dump, &case, Tolerances::GPU).unwrap();
            assert!(rows.iter().any(|row| row.name == "masks"), "masks were not compared");
            for row in rows {
                println!("{name} on {} ({}): {row}", device.id, device.name);
                assert!(row.passes(), "{name} on {} ({}): {row}", device.id, device.name);
            }
        }
    }
}
