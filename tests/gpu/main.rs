//! The same numbers on every GPU and software Vulkan device of this machine, of which there must be
//! one. Built only with the feature of a kind of GPU.

mod many_devices;
mod mask_head;
mod parity;
mod session;
#[path = "../it/many_devices/steps.rs"]
mod steps;

use std::path::Path;
use std::process::Command;
use std::sync::Once;

use mllmseg::device::{self, SelectedDevice};
use serde_json::Value;

/// Every GPU and software Vulkan device of this machine.
fn gpus() -> Vec<SelectedDevice> {
    static SETTINGS: Once = Once::new();
    SETTINGS.call_once(take_settings);
    let gpus: Vec<_> =
        device::available().into_iter().filter(|device| device.id != "cpu").collect();
    assert!(!gpus.is_empty(), "no GPU or software Vulkan device; install mesa-vulkan-drivers");
    gpus
}

/// Where all are software rasterisers, the working directory becomes `tests/gpu/software`. The runtime
/// reads its settings there once, when it first looks for devices: so another process looks before it.
fn take_settings() {
    let doctor = Command::new(env!("CARGO_BIN_EXE_mllmseg"))
        .args(["doctor", "--device", "cpu", "--json"])
        .output();
    let report: Value = serde_json::from_slice(&doctor.unwrap().stdout).unwrap();
    let devices = report["devices"].as_array().unwrap();
    if !devices.iter().any(|device| device["is_hardware_gpu"] == true) {
        let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gpu/software");
        std::env::set_current_dir(settings).unwrap();
    }
}
