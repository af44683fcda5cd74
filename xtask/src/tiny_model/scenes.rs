//! The drawn scenes of the curriculum and of the card.

use std::error::Error;
use std::path::Path;

use mllmseg::scenes::{ImageFormat, SynthOptions, World, write_dataset};

/// Training scenes.
pub(super) struct Scenes {
    pub folder: &'static str,
    /// The name of their world.
    pub world: &'static str,
    /// Numbers of images of val, testA and testB, and of train.
    pub images: (u64, u64),
    pub seed: u64,
}

pub(super) const SMALL: Scenes =
    Scenes { folder: "scenes", world: "small", images: (200, 60_000), seed: 1 };
pub(super) const SHAPES: Scenes =
    Scenes { folder: "shapes", world: "shapes", images: (60, 15_000), seed: 2 };
pub(super) const PLACES: Scenes =
    Scenes { folder: "places", world: "places", images: (100, 36_000), seed: 5 };

/// The number of images of the model card's scores, and their seed: no training ever draws it.
pub(super) const TEST: (u64, u64) = (150, 20_261_123);

/// Scenes on disk: `images` in each of val, testA and testB, and in train.
pub fn synth(
    out: &Path,
    world: World,
    (images, train_images): (u64, u64),
    seed: u64,
) -> Result<(), Box<dyn Error>> {
    let format = ImageFormat::Jpeg;
    let options =
        SynthOptions { out: out.to_path_buf(), images, train_images, seed, format, world };
    write_dataset(&options, &mut |_, _| {})?;
    Ok(())
}
