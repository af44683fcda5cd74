//! The dtype of vision encoder and language model.

use burn::tensor::DType;
use strum::EnumString;

use super::choice::SelectedDevice;
use super::error::DeviceError;

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, EnumString)]
#[strum(serialize_all = "lowercase", parse_err_ty = String, parse_err_fn = unknown)]
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

impl DtypeChoice {
    /// The dtype on a device.
    ///
    /// # Errors
    /// [`DeviceError::Dtype`] if the device does not compute it.
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
        match selected.device.supports_dtype(dtype) {
            true => Ok(dtype),
            false => Err(DeviceError::Dtype(selected.id.clone(), dtype.name())),
        }
    }

    /// The dtype that all of several devices compute; f32 where `auto` would differ.
    ///
    /// # Errors
    /// [`DeviceError::Dtype`] for the first device that does not compute it.
    pub fn resolve_all(self, devices: &[SelectedDevice]) -> Result<DType, DeviceError> {
        let dtypes = devices.iter().map(|device| self.resolve(device));
        let dtypes = dtypes.collect::<Result<Vec<_>, _>>()?;
        let first = dtypes.first().copied().unwrap_or(DType::F32);
        Ok(if dtypes.iter().all(|&dtype| dtype == first) { first } else { DType::F32 })
    }
}

fn unknown(text: &str) -> String {
    format!("expected auto, f32, f16 or bf16, found {text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu;

    /// A device that takes bf16 and one that does not share f32.
    #[test]
    fn auto_is_what_all_devices_compute() {
        assert_eq!(DtypeChoice::Auto.resolve(&cpu()).unwrap(), DType::F32);
        let gpu = SelectedDevice { is_hardware_gpu: true, ..cpu() };
        assert_eq!(DtypeChoice::Auto.resolve(&gpu).unwrap(), DType::BF16);
        assert_eq!(DtypeChoice::Auto.resolve_all(&[gpu.clone(), cpu()]).unwrap(), DType::F32);
        assert_eq!(DtypeChoice::Auto.resolve_all(&[gpu.clone(), gpu]).unwrap(), DType::BF16);
    }
}
