//! The GPU of a browser, by WebGPU.

use burn::tensor::Device;

use super::choice::SelectedDevice;
use super::error::DeviceError;

/// A browser's GPU. Its tensors can only be read asynchronously, as by
/// [`ImageSession::segment_all_async`](crate::ImageSession::segment_all_async).
#[derive(Debug, Clone)]
pub struct BrowserGpu {
    /// The device.
    pub device: SelectedDevice,
    /// The most bytes of one tensor.
    pub largest_tensor: u64,
}

impl BrowserGpu {
    /// Asks the browser for its GPU.
    ///
    /// # Errors
    /// [`DeviceError::Browser`] where there is none or it is not given.
    pub async fn request() -> Result<Self, DeviceError> {
        let (device, setup) = Device::wgpu_options()
            .init_with_setup_async()
            .await
            .map_err(|error| DeviceError::Browser(first_line(&error.to_string())))?;
        let limits = setup.device.limits();
        let device = SelectedDevice {
            device,
            id: "webgpu".into(),
            name: setup.adapter.get_info().name,
            is_hardware_gpu: true,
        };
        let largest_tensor = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        Ok(Self { device, largest_tensor })
    }
}

/// An error of JavaScript comes with its stack.
fn first_line(error: &str) -> String {
    let reason = error.rsplit("JsValue(").next().unwrap_or(error);
    reason.lines().next().unwrap_or_default().to_string()
}
