//! Worlds: which objects scenes have, how they are placed, and which expressions refer to them.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use strum::VariantArray;

use crate::ScenesError;
use crate::form::Form;
use crate::vocabulary::{Colour, Shape, Size};

/// The worlds that have names, in the order of `--help`. All of them begin with the first one's values.
const FILES: [(&str, &str); 4] = [
    ("small", include_str!("../worlds/small.toml")),
    ("shapes", include_str!("../worlds/shapes.toml")),
    ("places", include_str!("../worlds/places.toml")),
    ("full", include_str!("../worlds/full.toml")),
];

/// The side of the image that diameters refer to.
const STANDARD_SIDE: f32 = 112.0;

/// The settings of drawn scenes.
///
/// The worlds that have names are files in `worlds/`; `"full".parse()` gives one of them. The tests
/// hold their expressions to an independent check. Other settings are possible in code, but nothing
/// checks that each expression is still clear to the eye.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct World {
    /// Its name.
    #[serde(skip)]
    pub name: &'static str,
    /// A line about it, for `--help`.
    pub description: String,
    /// The shapes of objects; an empty list means all.
    pub shapes: Vec<Shape>,
    /// The colours of objects; an empty list means all.
    pub colours: Vec<Colour>,
    /// The sizes of objects; an empty list means all.
    pub sizes: Vec<Size>,
    /// The diameters of small, medium and large objects in pixels, in an image of 112 x 112. They grow
    /// with the image.
    pub diameters: [f32; 3],
    /// How much an object's diameter may differ from its class's, as a share.
    pub size_jitter: f32,
    /// Width and height of the images, in pixels: 32 to 1024.
    pub image_sizes: Vec<[u32; 2]>,
    /// The least and the largest number of objects in a scene; at most 12.
    pub objects: [usize; 2],
    /// How often (percent) an object takes its shape or its colour from another one.
    pub alike: u32,
    /// The least distance of two centres, as a share of the sum of the objects' radii: below 1 they may
    /// overlap. Objects of one colour never touch.
    pub closest: f32,
    /// The least visible share of every object.
    pub visible: f32,
    /// The largest tilt, as the tangent of half the angle.
    pub tilt: f32,
    /// How far background patterns depart from their mean, in grey levels.
    pub background: u8,
    /// How far the textures of objects depart from their mean, in grey levels.
    pub texture: u8,
    /// How far the grain of the image departs from its mean, in grey levels.
    pub grain: u8,
    /// The forms of expressions, with their weights in the draw.
    pub forms: Vec<(Form, u32)>,
    /// The least and the largest number of expressions for an image in grefcoco.
    pub expressions: [usize; 2],
    /// How many of a hundred expressions have no target, the same in every form.
    pub absent: u32,
    /// How many expressions with one target an image gets in refcoco, if it allows so many.
    pub singles: usize,
}

impl World {
    /// The worlds that have names.
    pub fn all() -> [Self; 4] {
        let [(_, small), ..] = FILES;
        FILES.map(|(name, file)| {
            let read = || -> Result<Self, toml::de::Error> {
                let mut values: toml::Table = toml::from_str(small)?;
                values.extend(toml::from_str::<toml::Table>(file)?);
                Ok(Self { name, ..values.try_into()? })
            };
            // The files are part of the program, and the tests read all of them.
            read().unwrap_or_else(|error| unreachable!("worlds/{name}.toml: {error}"))
        })
    }

    /// The first of the named worlds: five shapes, six colours and two sizes.
    pub fn small() -> Self {
        let [small, ..] = Self::all();
        small
    }

    /// The diameter of an object of a size class in pixels, in an image of `[width, height]`.
    pub fn diameter(&self, size: Size, image_size: [u32; 2]) -> f32 {
        let [width, height] = image_size.map(|side| side as f32);
        let scale = (width * height).sqrt() / STANDARD_SIDE;
        self.diameters[size as usize] * scale
    }

    pub(crate) fn shapes(&self) -> &[Shape] {
        if self.shapes.is_empty() { Shape::VARIANTS } else { &self.shapes }
    }

    pub(crate) fn colours(&self) -> &[Colour] {
        if self.colours.is_empty() { Colour::VARIANTS } else { &self.colours }
    }

    pub(crate) fn sizes(&self) -> &[Size] {
        if self.sizes.is_empty() { Size::VARIANTS } else { &self.sizes }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl FromStr for World {
    type Err = ScenesError;

    fn from_str(name: &str) -> Result<Self, ScenesError> {
        let found = Self::all().into_iter().find(|world| world.name == name);
        found.ok_or_else(|| ScenesError::UnknownName {
            what: "world",
            name: name.to_owned(),
            known: FILES.map(|(name, _)| name).join(", "),
        })
    }
}
