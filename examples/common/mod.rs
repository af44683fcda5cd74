//! What the examples that ask a model share: the model, and what is asked.

use std::error::Error;
use std::path::PathBuf;

use image::RgbImage;
use mllmseg::Segmenter;
use mllmseg::data::image::read_image;
use mllmseg::device::DeviceChoice;
use mllmseg::scenes::{Part, World, expressions, generate};

/// The model in `folder`; without one the tiny model that travels with the program.
pub fn load(folder: Option<String>) -> Result<Segmenter, Box<dyn Error>> {
    let folder = folder.map_or_else(mllmseg::tiny::folder, |folder| Ok(PathBuf::from(folder)))?;
    Ok(Segmenter::load(folder, &DeviceChoice::Auto.select()?)?)
}

/// A picture file and expressions from the command line; without any, a drawn scene as the tiny model
/// knows them, and what may be asked of it.
pub fn question(
    mut arguments: impl Iterator<Item = String>,
) -> Result<(RgbImage, Vec<String>), Box<dyn Error>> {
    match arguments.next() {
        Some(file) => Ok((read_image(file)?, arguments.collect())),
        None => {
            let world = World::small();
            let scene = generate(&world, 7, Part::Val.index(0));
            let asked = expressions(&world, &scene).into_iter().map(|said| said.text);
            Ok((scene.draw(), asked.collect()))
        }
    }
}
