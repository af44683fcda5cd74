//! One device of this machine.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::sync::Once;

use burn::tensor::Device;
use strum::VariantArray;

use super::error::DeviceError;
use super::kind::GpuKind;

/// What the user asked for, `auto|cpu|cuda[:N]|wgpu[:N]|vulkan[:N]|metal[:N]|rocm[:N]`.
///
/// ```
/// use mllmseg::device::{DeviceChoice, GpuKind};
///
/// # fn main() -> Result<(), mllmseg::device::DeviceError> {
/// assert_eq!("cuda:1".parse::<DeviceChoice>()?, DeviceChoice::Gpu(GpuKind::Cuda, 1));
/// assert_eq!(DeviceChoice::Cpu.select()?.id, "cpu");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// A hardware GPU when there is one, else the CPU; never a software rasteriser.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The device with this index of a kind.
    Gpu(GpuKind, usize),
}

/// A device that is there.
#[derive(Debug, Clone)]
pub struct SelectedDevice {
    /// The handle for tensors.
    pub device: Device,
    /// Its name on the command line, such as `cuda:0`.
    pub id: String,
    /// What it is, such as `NVIDIA H200`.
    pub name: String,
    /// Whether it is a GPU and not a CPU or a software rasteriser.
    pub is_hardware_gpu: bool,
}

impl SelectedDevice {
    /// Whether another host serves it.
    pub fn is_remote(&self) -> bool {
        self.id.starts_with("remote:")
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceChoice::Auto => f.write_str("auto"),
            DeviceChoice::Cpu => f.write_str("cpu"),
            DeviceChoice::Gpu(kind, index) => write!(f, "{kind}:{index}"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let (kind, index) = text.split_once(':').unwrap_or((text, "0"));
        match (text, kind.parse(), index.parse()) {
            ("auto", ..) => Ok(DeviceChoice::Auto),
            ("cpu", ..) => Ok(DeviceChoice::Cpu),
            (_, Ok(kind), Ok(index)) => Ok(DeviceChoice::Gpu(kind, index)),
            _ => Err(DeviceError::Unknown(text.to_string())),
        }
    }
}

impl DeviceChoice {
    /// The device, or an error that lists the ones that are there.
    pub fn select(self) -> Result<SelectedDevice, DeviceError> {
        match self {
            DeviceChoice::Cpu => Ok(cpu()),
            DeviceChoice::Auto => {
                Ok(all_gpus().find(|gpu| gpu.is_hardware_gpu).unwrap_or_else(cpu))
            }
            DeviceChoice::Gpu(kind, _) if kind.built_in().is_none() => {
                Err(DeviceError::NotBuilt(kind, list_available()))
            }
            DeviceChoice::Gpu(kind, index) => gpus(kind)
                .into_iter()
                .nth(index)
                .ok_or_else(|| DeviceError::NotThere(self.to_string(), list_available())),
        }
    }
}

/// The CPU, by Burn's `flex` backend.
pub fn cpu() -> SelectedDevice {
    static TUNED: Once = Once::new();
    TUNED.call_once(tune_gemm);
    SelectedDevice {
        device: Device::flex(),
        id: "cpu".into(),
        name: "CPU".into(),
        is_hardware_gpu: false,
    }
}

/// Makes `gemm`, which multiplies matrices for `flex`, faster for few tokens, unless the program has
/// set its thresholds already.
fn tune_gemm() {
    // The few tokens of a question meet whole weight matrices. Packing a matrix block by block pays
    // from 12 tokens on: without, 35 of them take one and a half times as long
    // (`cargo xtask bench`, "language model"). The library's own limit is 96; results are the same.
    const TOKENS_PER_UNIT: usize = 6;
    const DEFAULTS: [usize; 2] = [8, 16];
    let single = gemm::get_lhs_packing_threshold_single_thread();
    let multi = gemm::get_lhs_packing_threshold_multi_thread();
    if [single, multi] == DEFAULTS {
        gemm::set_lhs_packing_threshold_single_thread(12 / TOKENS_PER_UNIT);
        gemm::set_lhs_packing_threshold_multi_thread(12 / TOKENS_PER_UNIT);
    }
}

/// The devices of a kind on this machine; none when it is not built in or has no driver.
fn gpus(kind: GpuKind) -> Vec<SelectedDevice> {
    let Some(device_type) = kind.built_in() else { return Vec::new() };
    // A missing driver library makes some runtimes panic on being asked.
    let found = quietly(|| Device::enumerate(device_type).into_iter().collect::<Vec<_>>());
    let found = found.unwrap_or_default().into_iter().enumerate();
    found.filter_map(|(index, device)| described(format!("{kind}:{index}"), device)).collect()
}

#[cfg(feature = "gpu")]
fn described(id: String, device: Device) -> Option<SelectedDevice> {
    let identity = quietly(|| device.identity())??;
    let is_hardware_gpu = identity.physical.is_some();
    Some(SelectedDevice { device, id, name: identity.name, is_hardware_gpu })
}

/// Without any GPU kind Burn cannot identify a device, and there is none.
#[cfg(not(feature = "gpu"))]
fn described(_: String, _: Device) -> Option<SelectedDevice> {
    None
}

/// Every device of this machine that this program can use.
pub fn available() -> Vec<SelectedDevice> {
    std::iter::once(cpu()).chain(all_gpus()).collect()
}

fn all_gpus() -> impl Iterator<Item = SelectedDevice> {
    GpuKind::VARIANTS.iter().copied().flat_map(gpus)
}

fn list_available() -> String {
    let listed: Vec<_> = available()
        .iter()
        .map(|device| match device.name.as_str() {
            "CPU" => device.id.clone(),
            name => format!("{} ({name})", device.id),
        })
        .collect();
    listed.join(", ")
}

/// Runs a probe of a driver; a panic in it means that there is nothing, and prints nothing.
fn quietly<T>(probe: impl FnOnce() -> T) -> Option<T> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(probe)).ok();
    std::panic::set_hook(hook);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back() {
        for text in ["auto", "cpu", "cuda:0", "wgpu:2", "vulkan:1", "metal:0", "rocm:3"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert_eq!("wgpu".parse::<DeviceChoice>().unwrap().to_string(), "wgpu:0");
    }

    #[test]
    fn a_device_that_is_not_there_names_those_that_are() {
        let message = DeviceChoice::Gpu(GpuKind::Wgpu, 99).select().unwrap_err().to_string();
        assert!(message.contains("wgpu") && message.contains("cpu"), "{message}");
        #[cfg(not(feature = "rocm"))]
        {
            let message = DeviceChoice::Gpu(GpuKind::Rocm, 0).select().unwrap_err().to_string();
            assert!(message.contains("--features rocm"), "{message}");
        }
    }

    #[test]
    fn auto_never_takes_a_software_rasteriser() {
        let selected = DeviceChoice::Auto.select().unwrap();
        assert!(selected.is_hardware_gpu || selected.id == "cpu");
    }
}
