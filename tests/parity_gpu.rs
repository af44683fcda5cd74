//! The published implementation's numbers on every GPU and software Vulkan device at hand.

use std::path::Path;

use mllmseg::device;
use xtask::parity::{Tolerances, compare, run};
use xtask::weights::{CheckpointOptions, write_checkpoint};

/// Where there is no device the test says so; the environment variable `MLLMSEG_REQUIRE_GPU` makes
/// that an error.
#[test]
fn gpus_agree_with_the_published_outputs() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let gpus: Vec<_> =
        device::available().into_iter().filter(|device| device.spelling != "cpu").collect();
    if gpus.is_empty() {
        let required = std::env::var_os("MLLMSEG_REQUIRE_GPU").is_some();
        assert!(!required, "no GPU or software Vulkan device; install mesa-vulkan-drivers");
        println!("skipped: no GPU or software Vulkan device on this machine");
        return;
    }
    if gpus.iter().all(|device| !device.is_hardware_gpu) {
        // The runtime reads its settings from the working directory, at its first computation.
        std::env::set_current_dir(tests.join("software_gpu")).unwrap();
    }
    for device in gpus {
        for name in ["qwen2", "internlm2_lora"] {
            let (case, checkpoint) = (tests.join("reference").join(name), tempfile::tempdir());
            let checkpoint = checkpoint.unwrap();
            write_checkpoint(&case, checkpoint.path(), &CheckpointOptions::default()).unwrap();
            let dump = run(&case, checkpoint.path(), &device).unwrap();
            let rows = compare(&dump, &case, Tolerances::GPU).unwrap();
            assert!(rows.iter().any(|row| row.name == "masks"), "masks were not compared");
            for row in rows {
                println!("{name} on {} ({}): {row}", device.spelling, device.name);
                assert!(row.passes(), "{name} on {} ({}): {row}", device.spelling, device.name);
            }
        }
    }
}
