//! The dials of a drawn world: what there is in it, how it is placed, and what is said of it.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::forms::{Form, Slots};
use super::{ScenesError, words};

/// The shapes of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shape {
    /// A disc.
    Circle,
    /// A square, turned only a little.
    Square,
    /// An equilateral triangle that points up.
    Triangle,
    /// A star of five points.
    Star,
    /// A disc with a hole, through which one sees what is behind.
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

impl Shape {
    /// Every shape.
    pub const ALL: [Self; 10] = [
        Self::Circle,
        Self::Square,
        Self::Triangle,
        Self::Star,
        Self::Ring,
        Self::Cross,
        Self::Diamond,
        Self::Heart,
        Self::Moon,
        Self::Arrow,
    ];
}

/// The colours of objects. Backgrounds are grey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Colour {
    /// Red.
    Red,
    /// Green.
    Green,
    /// Blue.
    Blue,
    /// Yellow.
    Yellow,
    /// Purple.
    Purple,
    /// White.
    White,
    /// Black.
    Black,
    /// Orange.
    Orange,
}

impl Colour {
    /// Every colour.
    pub const ALL: [Self; 8] = [
        Self::Red,
        Self::Green,
        Self::Blue,
        Self::Yellow,
        Self::Purple,
        Self::White,
        Self::Black,
        Self::Orange,
    ];
}

/// The sizes of objects: classes well apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Size {
    /// The smallest.
    Small,
    /// Between the two.
    Medium,
    /// The largest.
    Large,
}

impl Size {
    /// Every size, the smallest first.
    pub const ALL: [Self; 3] = [Self::Small, Self::Medium, Self::Large];
}

/// The dials of a drawn world. [`World::small`], [`World::shapes`], [`World::places`] and
/// [`World::full`] are those that have names.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    /// Its name, for people.
    pub name: &'static str,
    /// The shapes there are; an empty list means all of them.
    pub shapes: Vec<Shape>,
    /// The colours there are; an empty list means all of them.
    pub colours: Vec<Colour>,
    /// The sizes there are; an empty list means all of them.
    pub sizes: Vec<Size>,
    /// How many pixels across small, medium and large objects are in a picture of 112 x 112; in
    /// others they are larger in proportion.
    pub diameters: [f32; 3],
    /// How much an object may differ from its diameter, as a share of it.
    pub size_jitter: f32,
    /// Width and height of the pictures, in pixels.
    pub pictures: Vec<[u32; 2]>,
    /// How many objects a scene has: at most 12.
    pub objects: RangeInclusive<usize>,
    /// How often (percent) an object takes its shape or its colour from another one.
    pub alike: u32,
    /// The least distance of two centres, as a share of the sum of the objects' radii: below 1 they
    /// may overlap. Objects of one colour never touch.
    pub closest: f32,
    /// The least share of every object that is not hidden.
    pub visible: f32,
    /// The largest tilt, as the tangent of half the angle.
    pub tilt: f32,
    /// How far the patterns of backgrounds leave their mean, in grey levels.
    pub background: u8,
    /// How far the textures of objects leave their mean, in grey levels.
    pub texture: u8,
    /// How far the grain of the whole picture leaves its mean, in grey levels.
    pub grain: u8,
    /// What is said, and how often in proportion.
    pub forms: Vec<(Form, u32)>,
    /// How many expressions a picture gets in grefcoco.
    pub expressions: RangeInclusive<usize>,
    /// How many of a hundred expressions refer to nothing, in every form alike.
    pub absent: u32,
    /// How many expressions with one target a picture gets in refcoco, at least if it can.
    pub singles: usize,
}

impl World {
    /// Five shapes, six colours and two sizes, three to five objects a scene that overlap little:
    /// small enough that a model of a few million weights learns it from nothing.
    pub fn small() -> Self {
        use Slots as S;
        Self {
            name: "small",
            shapes: Shape::ALL[..5].to_vec(),
            colours: Colour::ALL[..6].to_vec(),
            sizes: vec![Size::Small, Size::Large],
            diameters: [27.0, 35.0, 45.0],
            size_jitter: 0.05,
            pictures: vec![[160, 160], [176, 160], [160, 176], [192, 160], [168, 168]],
            objects: 3..=5,
            alike: 50,
            closest: 0.85,
            visible: 0.75,
            tilt: 0.09,
            background: 14,
            texture: 14,
            grain: 3,
            forms: vec![
                (Form::Named(S::COLOUR_SHAPE), 18),
                (Form::Named(S::ALL), 7),
                (Form::Named(S::SIZE_SHAPE), 6),
                (Form::Named(S::SIZE_COLOUR), 3),
                (Form::Named(S::COLOUR), 5),
                (Form::Named(S::SHAPE), 5),
                (Form::Extreme(S::SHAPE), 5),
                (Form::Extreme(S::COLOUR), 5),
                (Form::Side(S::SHAPE), 4),
                (Form::Side(S::COLOUR), 3),
                (Form::Side(S::COLOUR_SHAPE), 3),
                (Form::Relation(S::SHAPE), 3),
                (Form::Relation(S::COLOUR_SHAPE), 4),
                (Form::Second(S::SHAPE), 1),
                (Form::Second(S::COLOUR), 1),
                (Form::Superlative(S::SHAPE), 2),
                (Form::Superlative(S::COLOUR), 2),
                (Form::All(S::COLOUR), 20),
                (Form::All(S::SHAPE), 20),
                (Form::All(S::SIZE_COLOUR), 10),
                (Form::All(S::SIZE_SHAPE), 10),
                (Form::Pair(S::SHAPE), 14),
                (Form::Pair(S::COLOUR_SHAPE), 11),
            ],
            expressions: 16..=20,
            absent: 35,
            singles: 8,
        }
    }

    /// The small world with other things said of it: nearly all depends on shapes. Colours show in a
    /// single pixel and are learnt first; a model that knows them finds most things that
    /// [`World::small`] speaks of, and learns shapes late from the few that need them.
    pub fn shapes() -> Self {
        use Slots as S;
        Self {
            name: "shapes",
            forms: vec![
                (Form::Named(S::SHAPE), 20),
                (Form::All(S::SHAPE), 30),
                (Form::Pair(S::SHAPE), 15),
                (Form::Named(S::SIZE_SHAPE), 10),
                (Form::All(S::SIZE_SHAPE), 10),
                (Form::Named(S::COLOUR_SHAPE), 10),
                (Form::Pair(S::COLOUR_SHAPE), 5),
            ],
            alike: 70,
            ..Self::small()
        }
    }

    /// The small world with other things said of it: two thirds depend on where things are and how
    /// they are ordered. [`World::small`] says "the leftmost star" so seldom that a model that finds
    /// stars is content with all of them.
    pub fn places() -> Self {
        use Slots as S;
        Self {
            name: "places",
            forms: vec![
                (Form::Extreme(S::SHAPE), 22),
                (Form::Extreme(S::COLOUR), 22),
                (Form::Second(S::SHAPE), 8),
                (Form::Second(S::COLOUR), 8),
                (Form::Side(S::SHAPE), 8),
                (Form::Side(S::COLOUR), 6),
                (Form::Side(S::COLOUR_SHAPE), 6),
                (Form::Relation(S::SHAPE), 5),
                (Form::Relation(S::COLOUR_SHAPE), 5),
                (Form::Superlative(S::SHAPE), 4),
                (Form::Superlative(S::COLOUR), 4),
                (Form::Named(S::COLOUR_SHAPE), 8),
                (Form::Named(S::ALL), 4),
                (Form::Named(S::SIZE_SHAPE), 4),
                (Form::Named(S::SIZE_COLOUR), 2),
                (Form::Named(S::COLOUR), 2),
                (Form::Named(S::SHAPE), 3),
                (Form::All(S::COLOUR), 5),
                (Form::All(S::SHAPE), 7),
                (Form::All(S::SIZE_COLOUR), 4),
                (Form::All(S::SIZE_SHAPE), 5),
                (Form::Pair(S::SHAPE), 6),
                (Form::Pair(S::COLOUR_SHAPE), 5),
            ],
            alike: 65,
            ..Self::small()
        }
    }

    /// Ten shapes, eight colours and three sizes, four to eight objects a scene that hide more of
    /// each other, on livelier backgrounds.
    pub fn full() -> Self {
        use Slots as S;
        let mut forms = Self::small().forms;
        for (form, weight) in &mut forms {
            if matches!(form, Form::Relation(_) | Form::Second(_) | Form::Superlative(_)) {
                *weight *= 2;
            }
        }
        forms.extend([
            (Form::All(S::COLOUR_SHAPE), 3),
            (Form::AllSide(S::COLOUR), 3),
            (Form::AllSide(S::SHAPE), 3),
            (Form::Extreme(S::SIZE_SHAPE), 3),
            (Form::Relation(S::COLOUR), 2),
        ]);
        Self {
            name: "full",
            shapes: Shape::ALL.to_vec(),
            colours: Colour::ALL.to_vec(),
            sizes: Size::ALL.to_vec(),
            diameters: [15.0, 24.0, 40.0],
            size_jitter: 0.06,
            pictures: vec![[160, 160], [200, 160], [160, 200], [224, 160], [192, 192]],
            objects: 4..=8,
            closest: 0.75,
            visible: 0.65,
            tilt: 0.13,
            background: 22,
            texture: 22,
            grain: 6,
            forms,
            ..Self::small()
        }
    }

    /// Every word that expressions about this world may have, sorted.
    pub fn vocabulary(&self) -> Vec<&'static str> {
        words::vocabulary(self)
    }

    /// The shapes there are.
    pub(super) fn all_shapes(&self) -> &[Shape] {
        if self.shapes.is_empty() { &Shape::ALL } else { &self.shapes }
    }

    /// The colours there are.
    pub(super) fn all_colours(&self) -> &[Colour] {
        if self.colours.is_empty() { &Colour::ALL } else { &self.colours }
    }

    /// The sizes there are.
    pub(super) fn all_sizes(&self) -> &[Size] {
        if self.sizes.is_empty() { &Size::ALL } else { &self.sizes }
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
        match name {
            "small" => Ok(Self::small()),
            "shapes" => Ok(Self::shapes()),
            "places" => Ok(Self::places()),
            "full" => Ok(Self::full()),
            _ => Err(ScenesError::UnknownWorld { name: name.escape_debug().to_string() }),
        }
    }
}
