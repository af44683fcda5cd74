//! The same numbers on every GPU and software Vulkan device of this machine, of which there must be
//! one. Built only with the feature of a kind of GPU.

mod many_devices;
mod mask_head;
mod parity;
mod session;
#[path = "../it/many_devices/steps.rs"]
mod steps;

use std::path::Path;

use mllmseg::device::{self, SelectedDevice};

/// Every GPU and software Vulkan device of this machine.
///
/// Where all are software rasterisers, the working directory becomes `tests/gpu/software`: the
/// runtime reads its settings there, at its first computation.
fn gpus() -> Vec<SelectedDevice> {
    let gpus: Vec<_> =
        device::available().into_iter().filter(|device| device.id != "cpu").collect();
    assert!(!gpus.is_empty(), "no GPU or software Vulkan device; install mesa-vulkan-drivers");
    if gpus.iter().all(|device| !device.is_hardware_gpu) {
        let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gpu/software");
        std::env::set_current_dir(settings).unwrap();
    }
    gpus
}
