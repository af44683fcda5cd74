//! What can be said of scenes.

use super::{Colour, Shape, Size, World};

/// Which properties a noun phrase names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slots {
    /// Its size.
    pub size: bool,
    /// Its colour.
    pub colour: bool,
    /// Its shape; without it, it is a "shape".
    pub shape: bool,
}

impl Slots {
    /// "star"
    pub const SHAPE: Self = Self { size: false, colour: false, shape: true };
    /// "red shape"
    pub const COLOUR: Self = Self { size: false, colour: true, shape: false };
    /// "red star"
    pub const COLOUR_SHAPE: Self = Self { size: false, colour: true, shape: true };
    /// "small star"
    pub const SIZE_SHAPE: Self = Self { size: true, colour: false, shape: true };
    /// "small red shape"
    pub const SIZE_COLOUR: Self = Self { size: true, colour: true, shape: false };
    /// "small red star"
    pub const ALL: Self = Self { size: true, colour: true, shape: true };
}

/// The forms of expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// "the red star"
    Named(Slots),
    /// "the leftmost star"
    Extreme(Slots),
    /// "the star on the left"
    Side(Slots),
    /// "the star above the ring"
    Relation(Slots),
    /// "the second star from the left"
    Second(Slots),
    /// "the largest star"
    Superlative(Slots),
    /// "all the red shapes"
    All(Slots),
    /// "all the red shapes on the left"
    AllSide(Slots),
    /// "the star and the ring"
    Pair(Slots),
}

impl Form {
    /// The properties that its noun phrases name.
    pub fn slots(self) -> Slots {
        match self {
            Self::Named(slots)
            | Self::Extreme(slots)
            | Self::Side(slots)
            | Self::Relation(slots)
            | Self::Second(slots)
            | Self::Superlative(slots)
            | Self::All(slots)
            | Self::AllSide(slots)
            | Self::Pair(slots) => slots,
        }
    }

    /// What the form is about: attribute, place, relation, order or plural.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Named(_) => "attribute",
            Self::Extreme(_) | Self::Side(_) => "place",
            Self::Relation(_) => "relation",
            Self::Second(_) | Self::Superlative(_) => "order",
            Self::All(_) | Self::AllSide(_) | Self::Pair(_) => "plural",
        }
    }

    /// Whether it can refer to one object as well as to several.
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::All(_) | Self::AllSide(_))
    }

    /// Whether it can refer to one object only.
    pub fn is_singular(self) -> bool {
        self.kind() != "plural"
    }

    fn has_direction(self) -> bool {
        !matches!(self, Self::Named(_) | Self::Superlative(_) | Self::All(_) | Self::Pair(_))
    }

    fn has_two_nouns(self) -> bool {
        matches!(self, Self::Relation(_) | Self::Pair(_))
    }
}

/// A way to go in the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Left,
    Right,
    Top,
    Bottom,
}

impl Direction {
    pub(super) const ALL: [Self; 4] = [Self::Left, Self::Right, Self::Top, Self::Bottom];

    /// How far a place (as shares of width and height) lies in this direction.
    pub(super) fn along(self, [x, y]: [f32; 2]) -> f32 {
        match self {
            Self::Left => 1.0 - x,
            Self::Right => x,
            Self::Top => 1.0 - y,
            Self::Bottom => y,
        }
    }

    /// How far two places are apart across this direction.
    pub(super) fn across(self, [x, y]: [f32; 2], [u, v]: [f32; 2]) -> f32 {
        match self {
            Self::Left | Self::Right => (y - v).abs(),
            Self::Top | Self::Bottom => (x - u).abs(),
        }
    }
}

/// A place in the order of sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rank {
    Largest,
    Smallest,
    SecondLargest,
}

/// A noun phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Noun {
    pub size: Option<Size>,
    pub colour: Option<Colour>,
    pub shape: Option<Shape>,
}

/// An expression before it is put in words. Fields that its form has no use for keep their default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Statement {
    pub form: Form,
    pub noun: Noun,
    pub other: Noun,
    pub direction: Direction,
    pub rank: Rank,
}

/// The statements of a form that share size words, direction and rank: all have the same form of
/// words, and what is said of a scene is chosen among them.
pub(super) fn statements(world: &World, form: Form, stratum: Stratum) -> Vec<Statement> {
    let Stratum { size, direction, rank } = stratum;
    let slots = form.slots();
    let size = size.filter(|_| slots.size);
    let shapes = named(world.all_shapes(), slots.shape);
    let colours = named(world.all_colours(), slots.colour);
    let nouns: Vec<Noun> = shapes
        .iter()
        .flat_map(|&shape| colours.iter().map(move |&colour| Noun { size, colour, shape }))
        .collect();
    let one = |&noun: &Noun| Statement { form, noun, other: Noun::default(), direction, rank };
    if !form.has_two_nouns() {
        return nouns.iter().map(one).collect();
    }
    // Two nouns share no property that is named: otherwise a word said twice would give away
    // something, and one object could be both.
    let unlike = |a: &Noun, b: &Noun| {
        (!slots.shape || a.shape != b.shape) && (!slots.colour || a.colour != b.colour)
    };
    let pairs = nouns.iter().flat_map(|a| nouns.iter().map(move |b| (a, b)));
    let pairs = pairs.filter(|(a, b)| unlike(a, b));
    pairs.map(|(noun, &other)| Statement { other, ..one(noun) }).collect()
}

/// Each of the values, or the one absence of a value.
fn named<T: Copy>(values: &[T], named: bool) -> Vec<Option<T>> {
    if named { values.iter().copied().map(Some).collect() } else { vec![None] }
}

/// The words of a statement that are chosen before anything is known of the scene.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stratum {
    pub size: Option<Size>,
    pub direction: Direction,
    pub rank: Rank,
}

impl Stratum {
    /// Every stratum of a form.
    pub(super) fn all(world: &World, form: Form) -> Vec<Self> {
        let sizes = named(world.all_sizes(), form.slots().size);
        let directions: &[_] =
            if form.has_direction() { &Direction::ALL } else { &[Direction::Left] };
        let ranks: &[_] = match form {
            Form::Superlative(_) if world.all_sizes().len() > 2 => {
                &[Rank::Largest, Rank::Smallest, Rank::SecondLargest]
            }
            Form::Superlative(_) => &[Rank::Largest, Rank::Smallest],
            _ => &[Rank::Largest],
        };
        let mut strata = Vec::new();
        for &size in &sizes {
            for &direction in directions {
                strata.extend(ranks.iter().map(|&rank| Self { size, direction, rank }));
            }
        }
        strata
    }
}
