//! Shapes, colours, sizes, directions and ranks, and their words.

use serde::Deserialize;
use strum::{IntoStaticStr, VariantArray};

/// The shapes of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, IntoStaticStr, VariantArray)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Shape {
    /// A disc.
    Circle,
    /// A square, turned only a little.
    Square,
    /// An equilateral triangle that points up.
    Triangle,
    /// A star with five points.
    Star,
    /// A disc with a hole; what is behind shows through the hole.
    Ring,
    /// A plus sign.
    Cross,
    /// A rhombus that stands on its point.
    Diamond,
    /// A heart.
    Heart,
    /// A crescent.
    Moon,
    /// An arrow that points up.
    Arrow,
}

/// The colours of objects. Backgrounds are grey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, IntoStaticStr, VariantArray)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
#[expect(missing_docs, reason = "the names say all")]
pub enum Colour {
    Red,
    Green,
    Blue,
    Yellow,
    Purple,
    White,
    Black,
    Orange,
}

/// The size classes of objects, the smallest first. Their diameters are well apart.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
#[expect(missing_docs, reason = "the names say all")]
pub enum Size {
    Small,
    Medium,
    Large,
}

/// A direction in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, IntoStaticStr, VariantArray)]
#[strum(const_into_str, serialize_all = "lowercase")]
pub(crate) enum Direction {
    #[default]
    Left,
    Right,
    Top,
    Bottom,
}

/// A place in the order of sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, IntoStaticStr)]
#[strum(const_into_str, serialize_all = "lowercase")]
pub(crate) enum Rank {
    #[default]
    Largest,
    Smallest,
    #[strum(serialize = "second largest")]
    SecondLargest,
}

impl Shape {
    /// Its name.
    pub fn word(self) -> &'static str {
        self.into()
    }
}

impl Direction {
    /// "on the left", "at the top".
    pub(crate) fn side(self) -> String {
        let preposition = ["on", "at"][self.axis()];
        format!("{preposition} the {}", self.into_str())
    }

    pub(crate) fn relation(self) -> &'static str {
        ["left of", "right of", "above", "below"][self as usize]
    }

    /// The axis along which it goes: 0 for x, 1 for y.
    fn axis(self) -> usize {
        usize::from(matches!(self, Self::Top | Self::Bottom))
    }

    /// How far a place (as shares of width and height) lies in this direction.
    pub(crate) fn along(self, place: [f32; 2]) -> f32 {
        let along = place[self.axis()];
        if matches!(self, Self::Left | Self::Top) { 1.0 - along } else { along }
    }

    /// The distance of two places across this direction.
    pub(crate) fn across(self, a: [f32; 2], b: [f32; 2]) -> f32 {
        let axis = 1 - self.axis();
        (a[axis] - b[axis]).abs()
    }
}
