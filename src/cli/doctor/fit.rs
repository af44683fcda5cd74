//! Whether a model fits into the memory of a device.

use std::path::Path;

use mllmseg::device::{DtypeChoice, SelectedDevice, cpu};
use mllmseg::model::checkpoint::{LoadOptions, WeightFiles};
use mllmseg::model::parameters::parameter_count;
use mllmseg::model::{Mllmseg, MllmsegConfig, Preset};
use serde::Serialize;

use crate::cli::CliError;

/// A load takes at most this times the bytes of the model (README, "Checkpoints").
const LOAD_FACTOR: f64 = 1.05;

/// A model, and the memory that it takes.
#[derive(Debug, Serialize)]
pub struct ModelFit {
    pub name: String,
    pub parameters: usize,
    pub dtypes: Vec<DtypeFit>,
}

/// The memory that a model takes in one dtype.
#[derive(Debug, Serialize)]
pub struct DtypeFit {
    pub dtype: &'static str,
    /// Bytes at the peak of loading.
    pub bytes: u64,
    /// None where the memory of the device is not known.
    pub fits: Option<bool>,
}

/// One of the published sizes.
pub fn preset_fit(preset: Preset, device: &SelectedDevice, memory: Option<u64>) -> ModelFit {
    fit(preset.name().into(), &preset.config(), device, memory)
}

/// A checkpoint, whose configuration and headers of weights are read.
pub fn checkpoint_fit(
    name: &Path,
    folder: &Path,
    device: &SelectedDevice,
    memory: Option<u64>,
) -> Result<ModelFit, CliError> {
    let config = MllmsegConfig::from_dir(folder)?;
    WeightFiles::open(folder)?;
    Ok(fit(name.display().to_string(), &config, device, memory))
}

fn fit(
    name: String,
    config: &MllmsegConfig,
    device: &SelectedDevice,
    memory: Option<u64>,
) -> ModelFit {
    // Parameters are counted by shape: none is drawn.
    let model = Mllmseg::new(config, None, &cpu().device);
    let parameters = parameter_count(&model);
    let choices = [DtypeChoice::F32, DtypeChoice::F16, DtypeChoice::Bf16];
    let computed = choices.into_iter().filter_map(|choice| choice.resolve(device).ok());
    let dtypes = computed.map(|dtype| {
        let options = LoadOptions { dtype, ..Default::default() };
        let bytes = (LOAD_FACTOR * options.bytes(&model) as f64) as u64;
        DtypeFit { dtype: dtype.name(), bytes, fits: memory.map(|memory| bytes <= memory) }
    });
    ModelFit { name, parameters, dtypes: dtypes.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1.05 x 4 bytes x the parameters; 12 GB for one model and not for the other.
    #[test]
    fn a_model_fits_where_there_is_as_much_memory() {
        let fit = |preset| preset_fit(preset, &cpu(), Some(12_000_000_000));
        let f32 = |fit: &ModelFit| (fit.dtypes[0].dtype, fit.dtypes[0].fits);
        let (small, large) = (fit(Preset::InternVl2_5_1b), fit(Preset::InternVl2_5_8b));
        assert_eq!(f32(&small), ("f32", Some(true)));
        assert_eq!(f32(&large), ("f32", Some(false)));
        let expected = 1.05 * 4.0 * small.parameters as f64;
        assert!((small.dtypes[0].bytes as f64 - expected).abs() < 2.0);
        assert_eq!(preset_fit(Preset::Tiny, &cpu(), None).dtypes[0].fits, None);
    }
}
