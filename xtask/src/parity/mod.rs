//! Parity with the published Python implementation on a reference case, and with transformers on one of
//! its own ([`transformers`]).
//!
//! A reference case is a folder of the format in `tests/reference/README.md`: an image, a question and an
//! answer, and outputs of the published code on weights that are drawn by rule. Everything is
//! computed here from the image and the two texts; expected values are only compared with.

mod compare;
mod dump;
pub mod train;
pub mod transformers;

use std::error::Error;
use std::path::Path;

use mllmseg::Segmenter;
pub use mllmseg::check::compare::Row;
use mllmseg::check::stages::compute_stages;
use mllmseg::data::image::read_image;
use mllmseg::device::{DtypeChoice, SelectedDevice};

use crate::case::Case;
use crate::weights::{CheckpointOptions, write_checkpoint};
pub use compare::{Tolerances, compare};
pub use dump::Dump;

/// Everything of a case, on weights that are drawn for it, beside its expected values.
pub fn rows(case: &Path, device: &SelectedDevice) -> Result<Vec<Row>, Box<dyn Error>> {
    let checkpoint = tempfile::tempdir()?;
    write_checkpoint(case, checkpoint.path(), &CheckpointOptions::default())?;
    let mut computed = run(case, checkpoint.path(), device)?;
    train::run(case, checkpoint.path(), device, &mut computed)?;
    compare(&computed, case, Tolerances::of(device))
}

/// Runs a case on a checkpoint and returns everything it computes, in full; [`train::run`] adds
/// what training computes.
pub fn run(
    case: &Path,
    checkpoint: &Path,
    device: &SelectedDevice,
) -> Result<Dump, Box<dyn Error>> {
    let Case { question, answer, .. } = Case::read(case)?;
    let segmenter = Segmenter::load_as(checkpoint, device, DtypeChoice::F32)?;
    let image = read_image(case.join("image.png"))?;
    let prompt = segmenter.tokenize(&question, Some(&answer))?;
    let arrays = compute_stages(&segmenter, &image, &prompt)?;
    Ok(Dump { arrays, ..Dump::default() })
}
