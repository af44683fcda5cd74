//! Why there is no device.

use thiserror::Error;

use super::kind::GpuKind;

/// Why there is no device.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// The words mean nothing.
    #[error(
        "unknown device {0:?}; expected auto, cpu, cuda[:N], wgpu[:N], vulkan[:N], metal[:N] or rocm[:N]"
    )]
    Unknown(String),
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
    #[error("expected remote:ws://HOST:PORT, found {0:?}")]
    RemoteAddress(String),
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
    /// The device does not compute this dtype.
    #[error("{device} does not compute {dtype}; take --dtype f32")]
    Dtype {
        /// The device.
        device: String,
        /// The dtype.
        dtype: &'static str,
    },
}
