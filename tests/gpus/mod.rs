//! The devices that the GPU tests run on.

use std::path::Path;

use mllmseg::device::{self, SelectedDevice};

/// Every GPU and software Vulkan device of this machine.
///
/// Where there is none this says so, and the test goes on without; the environment variable
/// `MLLMSEG_REQUIRE_GPU` makes that an error. Where all are software rasterisers, the working
/// directory becomes `tests/software_gpu`: the runtime reads its settings there, at its first
/// computation.
pub fn gpus() -> Vec<SelectedDevice> {
    let gpus: Vec<_> =
        device::available().into_iter().filter(|device| device.id != "cpu").collect();
    if gpus.is_empty() {
        let required = std::env::var_os("MLLMSEG_REQUIRE_GPU").is_some();
        assert!(!required, "no GPU or software Vulkan device; install mesa-vulkan-drivers");
        println!("skipped: no GPU or software Vulkan device on this machine");
    } else if gpus.iter().all(|device| !device.is_hardware_gpu) {
        let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/software_gpu");
        std::env::set_current_dir(settings).unwrap();
    }
    gpus
}
