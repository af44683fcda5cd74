//! Parity with the published Python implementation on a reference case.
//!
//! A case is a folder of the format in `tests/reference/README.md`: a picture, a question and an
//! answer, and outputs of the published code on weights that are drawn by rule. Everything is
//! computed here from the picture and the two texts; expected values are only compared with.

mod compare;
mod dump;
pub mod train;

use std::path::{Path, PathBuf};

use mllmseg::Segmenter;
use mllmseg::data::image::read_image;
use mllmseg::device::{DtypeChoice, SelectedDevice};
use serde::Deserialize;
use thiserror::Error;

pub use compare::{Row, compare};
pub use dump::{Array, Dump};

/// Why a case cannot be run.
#[derive(Debug, Error)]
pub enum ParityError {
    /// A file of the case.
    #[error("{path}: {message}")]
    Case {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The product.
    #[error(transparent)]
    Segment(#[from] mllmseg::SegmentError),
    /// The picture.
    #[error(transparent)]
    Image(#[from] mllmseg::data::image::ImageError),
    /// A training step.
    #[error(transparent)]
    Step(#[from] mllmseg_train::StepError),
}

#[derive(Deserialize)]
struct Case {
    question: String,
    answer: String,
    /// 1 for each expression that is rejected, else 0.
    #[serde(default)]
    rej: Vec<u8>,
}

impl Case {
    fn read(case: &Path) -> Result<Self, ParityError> {
        let path = case.join("case.json");
        let text = std::fs::read_to_string(&path).map_err(case_error(&path))?;
        serde_json::from_str(&text).map_err(case_error(&path))
    }
}

/// Runs a case on a checkpoint and returns everything it computes, in full; [`train::run`] adds
/// what training computes.
pub fn run(case: &Path, checkpoint: &Path, device: &SelectedDevice) -> Result<Dump, ParityError> {
    let Case { question, answer, .. } = Case::read(case)?;
    let segmenter = Segmenter::load_as(checkpoint, device, DtypeChoice::F32)?;
    let image = read_image(case.join("image.png"))?;
    let prompt = segmenter.tokenize(&question, Some(&answer))?;
    let pixels = segmenter.pixels(&image);
    let output = segmenter.forward_plain(pixels.clone(), &prompt);
    let masks = output.masks();
    let logits = segmenter.model().language_model.logits(output.last_hidden_state.clone());

    let mut dump = Dump::default();
    let ids: Vec<i32> = prompt.input_ids.iter().map(|&id| id as i32).collect();
    let length = ids.len();
    dump.ints("pred_ids", predicted_ids(&segmenter, &ids, &logits), vec![length]);
    dump.ints("input_ids", ids, vec![1, length]);
    dump.ints("labels", prompt.labels.iter().map(|&id| id as i32).collect(), vec![1, length]);
    dump.floats("pixel_values", pixels);
    dump.floats("vit_feature", output.image_tokens);
    dump.floats("projected", output.projected);
    dump.floats("last_hidden_state", output.last_hidden_state);
    dump.floats("logits", logits);
    match masks {
        Some(masks) => dump.floats("masks", masks),
        None => {
            let size = segmenter.config().mask_size();
            dump.arrays.insert("masks".into(), Array::F32(Vec::new(), vec![0, size, size]));
        }
    }
    Ok(dump)
}

/// The ids with each `[SEG]` and `[REJ]` as the model decides it: `[REJ]` where the arg-max one position
/// earlier is `[REJ]`, else `[SEG]`.
fn predicted_ids(segmenter: &Segmenter, ids: &[i32], logits: &burn::tensor::Tensor<3>) -> Vec<i32> {
    let special = segmenter.special_tokens();
    let (seg, rej) = (special.seg as i32, special.rej as i32);
    let best: Vec<i64> = logits.clone().argmax(2).into_data().iter::<i64>().collect();
    let decide = |(position, &id): (usize, &i32)| match id == seg || id == rej {
        true if position > 0 && best[position - 1] == rej as i64 => rej,
        true => seg,
        false => id,
    };
    ids.iter().enumerate().map(decide).collect()
}

fn case_error<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> ParityError {
    let path = path.to_path_buf();
    move |error| ParityError::Case { path, message: error.to_string() }
}

/// How far from the published values a device may be.
#[derive(Debug, Clone, Copy)]
pub struct Tolerances {
    /// `vit_feature` and `projected`.
    pub features: f64,
    /// `last_hidden_state` and `logits`.
    pub states: f64,
    /// `masks`.
    pub masks: f64,
    /// `train_*`, relative to the expected value.
    pub losses: f64,
    /// `grad_norms.json`, relative to the expected norm.
    pub gradients: f64,
    /// `adamw_trajectory`, relative to the expected value.
    pub trajectory: f64,
}

impl Tolerances {
    /// In f32 on the CPU.
    pub const CPU: Self = Self {
        features: 2e-3,
        states: 5e-3,
        masks: 1e-3,
        losses: 1e-4,
        gradients: 1e-3,
        trajectory: 2e-3,
    };
    /// In f32 on a GPU, whose sums run in another order.
    pub const GPU: Self = Self {
        features: 1e-2,
        states: 1e-2,
        masks: 1e-2,
        losses: 1e-3,
        gradients: 1e-2,
        trajectory: 2e-2,
    };
}
