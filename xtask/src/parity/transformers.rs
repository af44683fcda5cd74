//! Parity with transformers and PEFT: small models that transformers saved in its own layout, adapters that PEFT saved
//! for them, and what the two compute (`tests/oracle/native_internvl.py`, `peft_adapters.py`).
//!
//! Pixels and token ids are given: there is neither image nor tokenizer, and no mask decoder.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

use burn::tensor::{Int, Tensor, TensorData};
use mllmseg::SegmentError;
use mllmseg::check::compare::{Row, values};
use mllmseg::device::SelectedDevice;
use mllmseg_model::MllmsegConfig;
use mllmseg_model::checkpoint::safetensors::read_safetensors;
use mllmseg_model::checkpoint::{LoadOptions, WeightFiles, load_files};

use super::compare::Tolerances;
use super::dump::Dump;
use crate::case::at;

/// Given values and expected ones; those of an adapter hold what it changes.
const EXPECTED: &str = "expected.safetensors";
/// Position of the first image token.
const IMAGE_START: usize = 2;
/// What both compute, in order.
const STAGES: [&str; 4] = ["vision", "projected", "hidden", "logits"];
/// The arg-max of the logits at each position.
const ARGMAX: &str = "argmax_ids";

/// A model's folder, and an adapter's.
#[derive(Debug, Clone)]
pub struct Case {
    /// Of transformers, such as `tests/fixtures/native/qwen2`.
    pub base: PathBuf,
    /// Of PEFT, such as `tests/fixtures/peft/alpha_1`.
    pub adapter: Option<PathBuf>,
}

impl Case {
    /// Every case of `tests/fixtures`: each base, followed by its adapters.
    pub fn all(fixtures: &Path) -> Vec<Self> {
        let cases: [(&str, &[&str]); 5] = [
            ("qwen2", &["alpha_1"]),
            ("qwen2_tied", &["alpha_2r"]),
            ("qwen3", &["alpha_r", "all_linear"]),
            ("qwen3_untied", &["rslora"]),
            ("internlm2", &["internlm2"]),
        ];
        let cases = cases.into_iter().flat_map(|(base, adapters)| {
            let adapters = adapters.iter().map(|name| Some(fixtures.join("peft").join(name)));
            let base = fixtures.join("native").join(base);
            let case = move |adapter| Self { base: base.clone(), adapter };
            std::iter::once(None).chain(adapters).map(case)
        });
        cases.collect()
    }

    /// Everything of the case, beside its expected values.
    pub fn rows(&self, device: &SelectedDevice) -> Result<Vec<Row>, Box<dyn Error>> {
        self.compare(&self.run(device)?, Tolerances::of(device))
    }

    /// Computes every stage in f32.
    pub fn run(&self, device: &SelectedDevice) -> Result<Dump, Box<dyn Error>> {
        let mut files = WeightFiles::open(&self.base)?;
        if let Some(adapter) = &self.adapter {
            files = files.with_adapter(adapter)?;
        }
        let mut config = MllmsegConfig::from_dir(&self.base)?;
        let (model, _) = load_files(files, &mut config, LoadOptions::default(), &device.device)?;
        let path = self.base.join(EXPECTED);
        let mut given = read_safetensors(&path)?;
        let mut take = |name: &str| {
            given.remove(name).ok_or_else(|| at(&path)(format!("expected a tensor `{name}`")))
        };
        let pixels = Tensor::from_data(take("pixels")?, &device.device);
        let ids = Tensor::<2, Int>::from_data(take("input_ids")?, &device.device);
        let (state, _) = model.forward(pixels, ids, IMAGE_START, &[]);
        let logits = model.language_model.logits(state.hidden.clone()); // [1, t, v]
        let mut dump = Dump::default();
        let stages = [state.image_tokens, state.projected, state.hidden, logits];
        for (name, stage) in STAGES.into_iter().zip(stages) {
            let read_back = |error| SegmentError::ReadBack(device.id.clone(), format!("{error:?}"));
            dump.arrays.insert(name.into(), stage.try_into_data().map_err(read_back)?);
        }
        dump.arrays.insert(ARGMAX.into(), argmax(&dump.arrays["logits"]));
        Ok(dump)
    }

    /// Compares what was computed, stage by stage, and the arg-max of the logits along the conversation.
    pub fn compare(&self, dump: &Dump, t: Tolerances) -> Result<Vec<Row>, Box<dyn Error>> {
        let mut expected = read_safetensors(&self.base.join(EXPECTED))?;
        if let Some(adapter) = &self.adapter {
            expected.extend(read_safetensors(&adapter.join(EXPECTED))?);
        }
        if let Some(logits) = expected.get("logits") {
            expected.insert(ARGMAX.into(), argmax(logits));
        }
        let row = |(name, tolerance): (&str, f64)| {
            let [found, expected] = [dump.arrays.get(name)?, expected.get(name)?].map(values);
            Some(Row::new(name.into(), &found, &expected, |_| 1.0, tolerance))
        };
        let stages = STAGES.map(|name| (name, t.transformers));
        Ok(stages.into_iter().chain([(ARGMAX, 0.0)]).filter_map(row).collect())
    }
}

/// The folder's name, such as `peft/alpha_1`.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.adapter.as_ref().unwrap_or(&self.base);
        let kind = folder.parent().and_then(Path::file_name).unwrap_or_default();
        let name = folder.file_name().unwrap_or_default();
        write!(f, "{}/{}", kind.display(), name.display())
    }
}

/// The index of the largest of each row.
fn argmax(logits: &TensorData) -> TensorData {
    let values: Vec<f32> = logits.iter().collect();
    let width = logits.shape().as_slice().last().copied().unwrap_or(0).max(1);
    let best = values.chunks(width).map(|row| {
        let best = row.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
        best.map_or(-1, |(index, _)| index as i32)
    });
    let best: Vec<i32> = best.collect();
    let count = best.len();
    TensorData::new(best, [count])
}
