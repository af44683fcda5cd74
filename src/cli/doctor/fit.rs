//! Whether a model fits into the memory of a device.

use std::path::Path;

use mllmseg::device::{DtypeChoice, SelectedDevice, cpu};
use mllmseg::model::checkpoint::{LoadOptions, WeightFiles};
use mllmseg::model::parameters::parameter_count;
use mllmseg::model::quantize::Quantization;
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

/// The memory that a model takes with one option.
#[derive(Debug, Serialize)]
pub struct DtypeFit {
    /// What its large parts are computed in.
    pub dtype: &'static str,
    /// Of every command that asks a model.
    pub option: &'static str,
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
    use Quantization::{Bf16, None as Whole, Q8};
    // Parameters are counted by shape: none is drawn.
    let model = Mllmseg::new(config, None, &cpu().device);
    let choices = [
        ("f32", "--dtype f32", DtypeChoice::F32, Whole),
        ("f32", "--quantize bf16", DtypeChoice::F32, Bf16),
        ("f32", "--quantize q8", DtypeChoice::F32, Q8),
        ("f16", "--dtype f16", DtypeChoice::F16, Whole),
        ("bf16", "--dtype bf16", DtypeChoice::Bf16, Whole),
    ];
    let dtypes = choices.into_iter().filter_map(|(dtype, option, choice, kept)| {
        let computed = choice.resolve(device).ok()?;
        if kept != Whole && device.id != "cpu" {
            return None;
        }
        let options = LoadOptions { dtype: computed, quantization: kept, ..Default::default() };
        let weights = LOAD_FACTOR * options.bytes(&model) as f64;
        // The largest tensor is in f32 for a moment, beside weights that are smaller than that.
        let table = 4 * config.language.vocab_size * config.language.hidden_size;
        let bytes = weights as u64 + if kept == Whole { 0 } else { table as u64 };
        let fits = memory.map(|memory| bytes <= memory);
        Some(DtypeFit { dtype, option, bytes, fits })
    });
    let dtypes = dtypes.collect();
    ModelFit { name, parameters: parameter_count(&model), dtypes }
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

    /// As measured (docs/book/src/performance.md), the peak of a load.
    #[test]
    fn weights_in_fewer_bits_take_what_was_measured() {
        let bytes = |preset, option| {
            let fit = preset_fit(preset, &cpu(), None);
            let dtype = fit.dtypes.iter().find(|dtype| dtype.option == option).unwrap();
            dtype.bytes as f64 / 1e9
        };
        for (preset, option, measured) in [
            (Preset::InternVl2_5_1b, "--quantize bf16", 2.7),
            (Preset::InternVl2_5_1b, "--quantize q8", 2.1),
            (Preset::InternVl2_5_8b, "--quantize q8", 11.6),
        ] {
            let found = bytes(preset, option);
            assert!((0.99 * measured..1.1 * measured).contains(&found), "{preset:?} {found}");
        }
        let gpu = SelectedDevice { id: "cuda:0".into(), ..cpu() };
        let fit = preset_fit(Preset::Tiny, &gpu, None);
        assert!(fit.dtypes.iter().all(|dtype| !dtype.option.contains("quantize")));
    }
}
