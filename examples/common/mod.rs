//! What the examples that ask a model share: the model, and a picture.

use std::error::Error;
use std::path::Path;

use mllmseg::data::tokenizer::Tokenizer;
use mllmseg::device::{DeviceChoice, cpu};
use mllmseg::model::checkpoint::{SaveOptions, save_model};
use mllmseg::model::{Mllmseg, Preset};
use mllmseg::{SegmentError, Segmenter};

/// The picture for when none is named.
pub const CAT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/cat.jpg");

/// The model in `folder`; without one a tiny model, freshly drawn, whose masks mean nothing.
pub fn load(folder: Option<String>) -> Result<Segmenter, Box<dyn Error>> {
    let device = DeviceChoice::Auto.select()?;
    match folder {
        Some(folder) => Ok(Segmenter::load(folder, &device)?),
        None => {
            let drawn = tempfile::tempdir()?;
            draw(drawn.path())?;
            Ok(Segmenter::load(drawn.path(), &device)?)
        }
    }
}

/// Writes a checkpoint of the tiny preset with random weights.
fn draw(folder: &Path) -> Result<(), Box<dyn Error>> {
    let tokenizer = Tokenizer::train(&["the cat and its left eye"], 300, folder)?;
    let mut config = Preset::Tiny.config();
    config.language.vocab_size = tokenizer.vocab_size();
    let device = cpu().device;
    device.seed(1);
    let model = Mllmseg::new(&config, None, &device);
    save_model(&model, &config, None, folder, SaveOptions::default())
        .map_err(SegmentError::from)?;
    Ok(())
}
