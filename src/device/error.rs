//! Why there is no device.

use thiserror::Error;

use super::kind::GpuKind;

/// Why there is no device. The messages list the devices that are there.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The words mean nothing.
    #[error(
        "unknown device {0:?}; expected auto, cpu, cuda[:N], wgpu[:N], vulkan[:N], metal[:N] or rocm[:N]"
    )]
    Unknown(String),
    /// This program was built without the kind.
    #[error(
        "{0} is not built into this program; build it with `cargo build --release --features {0}`. Devices here: {1}"
    )]
    NotBuilt(GpuKind, String),
    /// The machine has none, or not as many.
    #[error("{0} is not there. Devices here: {1}")]
    NotThere(String, String),
    /// Not the address of a device on another host.
    #[error("expected remote:ws://HOST:PORT, found {0:?}")]
    RemoteAddress(String),
    /// This program was built without devices of other hosts.
    #[error(
        "devices of other hosts are not built into this program; build it with `cargo build --release --features remote`"
    )]
    RemoteNotBuilt,
    /// Another host does not answer: its address `HOST:PORT`, and what failed.
    #[error(
        "remote:ws://{0} cannot be reached: {1}. Is `mllmseg serve-device --listen {0}` running there, from the same build?"
    )]
    Unreachable(String, String),
    /// This host's device cannot be offered to others: the device, and what failed.
    #[error("cannot serve {0}: {1}")]
    Serve(String, String),
    /// A browser gives no GPU, and why.
    #[error("the browser gives no WebGPU device: {0}")]
    Browser(String),
    /// The device does not compute this dtype.
    #[error("{0} does not compute {1}; take --dtype f32")]
    Dtype(String, &'static str),
}
