//! Which device computes: the one place that names backends.
//!
//! | file | what |
//! | --- | --- |
//! | `kind` | the kinds of GPU devices, and which of them are built in |
//! | `choice` | one device of this machine: `auto`, `cpu`, `cuda:0` |
//! | `list` | several devices, of this machine and of others |
//! | `remote` | devices of other hosts |
//! | `browser` | the GPU of a browser |
//! | `dtype` | the dtype of the large parts of a model |
//! | `memory` | the free memory of a GPU, where it can be known |
//! | `idle` | GPUs that this build cannot use |

#[cfg(feature = "webgpu")]
mod browser;
mod choice;
mod dtype;
mod error;
mod idle;
mod kind;
mod list;
mod memory;
mod remote;

#[cfg(feature = "webgpu")]
pub use browser::BrowserGpu;
pub use choice::{DeviceChoice, SelectedDevice, available, cpu};
pub use dtype::DtypeChoice;
pub use error::DeviceError;
pub use idle::idle_gpu;
pub use kind::GpuKind;
pub use list::DeviceList;
pub use memory::gpu_memory;
pub use remote::serve;
