//! Which device computes: the one place that names backends.

mod list;
mod remote;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;

use burn::tensor::{DType, Device, DeviceType};
use thiserror::Error;

pub use list::{DeviceList, ListedDevice};
pub use remote::{RemoteAddress, serve};

/// What the user asked for, `auto|cpu|cuda[:N]|wgpu[:N]|vulkan[:N]|metal[:N]|rocm[:N]`.
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

/// The kinds of GPU devices. Each needs the cargo feature of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GpuKind {
    /// NVIDIA.
    Cuda,
    /// Whatever graphics API the machine offers.
    Wgpu,
    /// Vulkan, compiled to SPIR-V.
    Vulkan,
    /// Apple.
    Metal,
    /// AMD.
    Rocm,
}

/// A device that is there.
#[derive(Debug, Clone)]
pub struct SelectedDevice {
    /// The handle for tensors.
    pub device: Device,
    /// How it is asked for, such as `cuda:0`.
    pub spelling: String,
    /// What it is, such as `NVIDIA H200`.
    pub name: String,
    /// Whether it is a GPU and not a CPU or a software rasteriser.
    pub is_hardware_gpu: bool,
}

impl SelectedDevice {
    /// Whether another host serves it.
    pub fn is_remote(&self) -> bool {
        self.spelling.starts_with("remote:")
    }
}

/// The number type of vision encoder and language model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DtypeChoice {
    /// bf16 on GPUs that compute it, else f32.
    #[default]
    Auto,
    /// f32.
    F32,
    /// f16.
    F16,
    /// bf16.
    Bf16,
}

/// Why there is no device.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// The words mean nothing.
    #[error(
        "unknown device {found:?}; expected auto, cpu, cuda[:N], wgpu[:N], vulkan[:N], metal[:N] or rocm[:N]"
    )]
    Unknown {
        /// What was written.
        found: String,
    },
    /// This program was built without it.
    #[error(
        "{kind} is not built into this program; build it with `cargo build --release --features {kind}`. Devices here: {available}"
    )]
    NotBuilt {
        /// The kind.
        kind: GpuKind,
        /// The devices that are there.
        available: String,
    },
    /// The machine has none, or not as many.
    #[error("{asked} is not there. Devices here: {available}")]
    NotThere {
        /// What was asked for.
        asked: String,
        /// The devices that are there.
        available: String,
    },
    /// Not the address of a device on another host.
    #[error("expected remote:ws://HOST:PORT, found {found:?}")]
    RemoteAddress {
        /// What was written.
        found: String,
    },
    /// This program was built without devices of other hosts.
    #[error(
        "devices of other hosts are not built into this program; build it with `cargo build --release --features remote`"
    )]
    RemoteNotBuilt,
    /// Another host does not answer.
    #[error(
        "{asked} cannot be reached: {reason}. Is `mllmseg serve-device --listen {listen}` running there, from the same build?"
    )]
    Unreachable {
        /// What was asked for.
        asked: String,
        /// What failed.
        reason: String,
        /// Where its server should listen.
        listen: String,
    },
    /// This host's device cannot be offered to others.
    #[error("cannot serve {device}: {reason}")]
    Serve {
        /// The device.
        device: String,
        /// What failed.
        reason: String,
    },
    /// The device does not compute this number type.
    #[error("{device} does not compute {dtype:?}; take --dtype f32")]
    Dtype {
        /// The device.
        device: String,
        /// The number type.
        dtype: DType,
    },
}

impl GpuKind {
    /// All kinds, in the order in which `auto` looks for them.
    pub const ALL: [GpuKind; 5] =
        [GpuKind::Cuda, GpuKind::Metal, GpuKind::Rocm, GpuKind::Vulkan, GpuKind::Wgpu];

    /// The word on the command line and the cargo feature.
    pub fn name(self) -> &'static str {
        match self {
            GpuKind::Cuda => "cuda",
            GpuKind::Wgpu => "wgpu",
            GpuKind::Vulkan => "vulkan",
            GpuKind::Metal => "metal",
            GpuKind::Rocm => "rocm",
        }
    }

    /// Burn's name for the kind, if it is built in.
    fn built_in(self) -> Option<DeviceType> {
        match self {
            #[cfg(feature = "cuda")]
            GpuKind::Cuda => Some(DeviceType::Cuda),
            #[cfg(feature = "wgpu")]
            GpuKind::Wgpu => Some(DeviceType::Wgpu),
            #[cfg(feature = "vulkan")]
            GpuKind::Vulkan => Some(DeviceType::Vulkan),
            #[cfg(feature = "metal")]
            GpuKind::Metal => Some(DeviceType::Metal),
            #[cfg(feature = "rocm")]
            GpuKind::Rocm => Some(DeviceType::Rocm),
            #[allow(unreachable_patterns)] // unreachable only when every feature is on
            _ => None,
        }
    }

    /// The devices of this kind on this machine; none when it is not built in or has no driver.
    fn devices(self) -> Vec<SelectedDevice> {
        let Some(device_type) = self.built_in() else {
            return Vec::new();
        };
        // A missing driver library makes some runtimes panic on being asked.
        let found = quietly(|| Device::enumerate(device_type).into_iter().collect::<Vec<_>>());
        let found = found.unwrap_or_default().into_iter().enumerate();
        found.filter_map(|(index, device)| self.describe(index, device)).collect()
    }

    fn describe(self, index: usize, device: Device) -> Option<SelectedDevice> {
        let spelling = format!("{self}:{index}");
        #[cfg(any(
            feature = "cuda",
            feature = "wgpu",
            feature = "vulkan",
            feature = "metal",
            feature = "rocm"
        ))]
        let (name, is_hardware_gpu) = {
            let identity = quietly(|| device.identity())??;
            (identity.name, identity.physical.is_some())
        };
        #[cfg(not(any(
            feature = "cuda",
            feature = "wgpu",
            feature = "vulkan",
            feature = "metal",
            feature = "rocm"
        )))]
        let (name, is_hardware_gpu) = (spelling.clone(), false);
        Some(SelectedDevice { device, spelling, name, is_hardware_gpu })
    }
}

impl fmt::Display for GpuKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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
        let unknown = || DeviceError::Unknown { found: text.to_string() };
        match text {
            "auto" => return Ok(DeviceChoice::Auto),
            "cpu" => return Ok(DeviceChoice::Cpu),
            _ => {}
        }
        let (kind, index) = text.split_once(':').unwrap_or((text, "0"));
        let kind = GpuKind::ALL.into_iter().find(|known| known.name() == kind);
        let kind = kind.ok_or_else(unknown)?;
        Ok(DeviceChoice::Gpu(kind, index.parse().map_err(|_| unknown())?))
    }
}

impl DeviceChoice {
    /// The device, or an error that lists the ones that are there.
    pub fn select(self) -> Result<SelectedDevice, DeviceError> {
        match self {
            DeviceChoice::Cpu => Ok(cpu()),
            DeviceChoice::Auto => {
                let mut gpus = GpuKind::ALL.into_iter().flat_map(GpuKind::devices);
                Ok(gpus.find(|gpu| gpu.is_hardware_gpu).unwrap_or_else(cpu))
            }
            DeviceChoice::Gpu(kind, _) if kind.built_in().is_none() => {
                Err(DeviceError::NotBuilt { kind, available: list_available() })
            }
            DeviceChoice::Gpu(kind, index) => {
                kind.devices().into_iter().nth(index).ok_or_else(|| DeviceError::NotThere {
                    asked: self.to_string(),
                    available: list_available(),
                })
            }
        }
    }
}

impl DtypeChoice {
    /// The number type on a device.
    pub fn resolve(self, selected: &SelectedDevice) -> Result<DType, DeviceError> {
        let dtype = match self {
            DtypeChoice::F32 => DType::F32,
            DtypeChoice::F16 => DType::F16,
            DtypeChoice::Bf16 => DType::BF16,
            DtypeChoice::Auto => {
                let bf16 = selected.is_hardware_gpu && selected.device.supports_dtype(DType::BF16);
                if bf16 { DType::BF16 } else { DType::F32 }
            }
        };
        if selected.device.supports_dtype(dtype) {
            Ok(dtype)
        } else {
            Err(DeviceError::Dtype { device: selected.spelling.clone(), dtype })
        }
    }

    /// The number type that all of several devices compute, f32 where `auto` would differ.
    pub fn resolve_all(self, devices: &[SelectedDevice]) -> Result<DType, DeviceError> {
        let dtypes = devices.iter().map(|device| self.resolve(device));
        let dtypes = dtypes.collect::<Result<Vec<_>, _>>()?;
        let first = dtypes.first().copied().unwrap_or(DType::F32);
        Ok(if dtypes.iter().all(|&dtype| dtype == first) { first } else { DType::F32 })
    }
}

impl FromStr for DtypeChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(DtypeChoice::Auto),
            "f32" => Ok(DtypeChoice::F32),
            "f16" => Ok(DtypeChoice::F16),
            "bf16" => Ok(DtypeChoice::Bf16),
            other => Err(format!("expected auto, f32, f16 or bf16, found {other:?}")),
        }
    }
}

/// The CPU, by Burn's `flex` backend.
pub fn cpu() -> SelectedDevice {
    // The few tokens of a question meet whole weight matrices. Copying a matrix into order block by
    // block pays from 12 tokens on: without, 35 of them take one and a half times as long
    // (`cargo xtask bench`, "language model"). The library's own limit is 96; results are the same.
    const TOKENS_PER_UNIT: usize = 6;
    gemm::set_lhs_packing_threshold_multi_thread(12 / TOKENS_PER_UNIT);
    gemm::set_lhs_packing_threshold_single_thread(12 / TOKENS_PER_UNIT);
    SelectedDevice {
        device: Device::flex(),
        spelling: "cpu".into(),
        name: "CPU".into(),
        is_hardware_gpu: false,
    }
}

/// Every device of this machine that this program can use.
pub fn available() -> Vec<SelectedDevice> {
    std::iter::once(cpu()).chain(GpuKind::ALL.into_iter().flat_map(GpuKind::devices)).collect()
}

fn list_available() -> String {
    let listed: Vec<_> = available()
        .iter()
        .map(|device| match device.name.as_str() {
            "CPU" => device.spelling.clone(),
            name => format!("{} ({name})", device.spelling),
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
    fn spellings_are_read_back() {
        for text in ["auto", "cpu", "cuda:0", "wgpu:2", "vulkan:1", "metal:0", "rocm:3"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert_eq!("wgpu".parse::<DeviceChoice>().unwrap().to_string(), "wgpu:0");
    }

    #[test]
    fn unknown_words_name_the_known_ones() {
        for text in ["gpu", "cuda:x", "cpu:1", "cuda:-1", ""] {
            let message = text.parse::<DeviceChoice>().unwrap_err().to_string();
            assert!(message.contains(text) && message.contains("cuda[:N]"), "{message}");
        }
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
        assert!(selected.is_hardware_gpu || selected.spelling == "cpu");
        let resolved = DtypeChoice::Auto.resolve(&cpu()).unwrap();
        assert_eq!(resolved, DType::F32);
    }
}
