//! The devices of a run: the main one, the dtype of all, and replicas on several.

use burn::tensor::DType;
use mllmseg_model::Mllmseg;
use mllmseg_train::{NamedDevice, ReplicaError, Replicas};

use super::error::TrainingError;
use crate::device::{DtypeChoice, SelectedDevice, cpu};

/// Where model, optimizer and validations are: the first device of this machine.
pub(super) fn main_device(devices: &[SelectedDevice]) -> SelectedDevice {
    devices.iter().find(|device| !device.is_remote()).cloned().unwrap_or_else(cpu)
}

/// What a recipe's dtype is on all devices together.
pub(super) fn dtype(name: &str, devices: &[SelectedDevice]) -> Result<DType, TrainingError> {
    let choice = name.parse::<DtypeChoice>();
    let choice = choice.map_err(|message| TrainingError::Name("dtype", message))?;
    Ok(choice.resolve_all(devices)?)
}

/// Replicas of a model on several devices, or on one of another host.
pub(super) fn replicas(
    model: &Mllmseg,
    devices: &[SelectedDevice],
) -> Result<Option<Replicas>, ReplicaError> {
    if devices.len() < 2 && !devices.iter().any(SelectedDevice::is_remote) {
        return Ok(None);
    }
    let devices = devices
        .iter()
        .map(|device| NamedDevice { name: device.id.clone(), device: device.device.clone() });
    Replicas::start(model, &devices.collect::<Vec<_>>()).map(Some)
}
