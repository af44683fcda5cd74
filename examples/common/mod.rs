//! Shared by the examples that run a model: the model, the image and the expressions.

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

/// An image file and expressions from the command line; without any, a drawn scene of the kind that
/// the tiny model knows, and its expressions.
pub fn input(
    mut arguments: impl Iterator<Item = String>,
) -> Result<(RgbImage, Vec<String>), Box<dyn Error>> {
    match arguments.next() {
        Some(file) => Ok((read_image(file)?, arguments.collect())),
        None => {
            let world = World::small();
            let scene = generate(&world, 7, Part::Val.index(0));
            let texts = expressions(&world, &scene).into_iter().map(|expression| expression.text);
            Ok((scene.draw(), texts.collect()))
        }
    }
}
