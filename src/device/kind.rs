//! The kinds of GPU devices.

use burn::tensor::DeviceType;
use strum::{Display, EnumString, VariantArray};

/// A kind of GPU devices, in the order in which `auto` looks for them. Its name in lower case is the
/// word on the command line and the cargo feature that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum GpuKind {
    /// NVIDIA.
    Cuda,
    /// Apple.
    Metal,
    /// AMD.
    Rocm,
    /// Vulkan, compiled to SPIR-V.
    Vulkan,
    /// Whatever graphics API the machine offers.
    Wgpu,
}

impl GpuKind {
    /// Whether this build has it.
    pub fn is_built_in(self) -> bool {
        self.built_in().is_some()
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
            #[allow(unreachable_patterns, reason = "reachable unless every feature is on")]
            _ => None,
        }
    }
}
