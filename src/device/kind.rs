//! The kinds of GPU devices. Each needs the cargo feature of its name.

use std::fmt;

use burn::tensor::DeviceType;

/// A kind of GPU devices.
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
    pub(super) fn built_in(self) -> Option<DeviceType> {
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
}

impl fmt::Display for GpuKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
