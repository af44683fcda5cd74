//! The forms of expressions, and the statements that fill them.

use serde::Deserialize;
use strum::VariantArray;

use crate::vocabulary::{Colour, Direction, Rank, Shape, Size};

/// The patterns of expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, VariantArray)]
pub enum Pattern {
    /// "the red star"
    Named,
    /// "the leftmost star"
    Extreme,
    /// "the star on the left"
    Side,
    /// "the star above the ring"
    Relation,
    /// "the second star from the left"
    Second,
    /// "the largest star"
    Superlative,
    /// "all the red shapes"
    All,
    /// "all the red shapes on the left"
    AllSide,
    /// "the star and the ring"
    Pair,
}

impl Pattern {
    /// What it depends on: attribute, place, relation, order or plural.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Named => "attribute",
            Self::Extreme | Self::Side => "place",
            Self::Relation => "relation",
            Self::Second | Self::Superlative => "order",
            Self::All | Self::AllSide | Self::Pair => "plural",
        }
    }

    /// Whether it can refer to one object only.
    pub fn is_singular(self) -> bool {
        self.kind() != "plural"
    }

    /// Whether it can refer to one object as well as to several.
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::All | Self::AllSide)
    }

    pub(crate) fn has_direction(self) -> bool {
        !matches!(self, Self::Named | Self::Superlative | Self::All | Self::Pair)
    }

    pub(crate) fn has_two_nouns(self) -> bool {
        matches!(self, Self::Relation | Self::Pair)
    }
}

/// Which properties a noun phrase names. If it does not name the shape, its noun is "shape".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say all")]
pub struct Slots {
    pub size: bool,
    pub colour: bool,
    pub shape: bool,
}

/// A form of expressions: a pattern, and what its noun phrases name. Worlds write it as an example:
/// "the red star" is the form that names colour and shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Form {
    /// Its pattern.
    pub pattern: Pattern,
    /// What its noun phrases name.
    pub slots: Slots,
}

impl Form {
    /// The form of "the red star", "all the small stars", "the star left of the ring" and so on.
    fn example(self) -> String {
        let Slots { size, colour, shape } = self.slots;
        let phrase = |red, star| Phrase {
            size: size.then_some(Size::Small),
            colour: colour.then_some(red),
            shape: shape.then_some(star),
        };
        let noun = phrase(Colour::Red, Shape::Star);
        let other = phrase(Colour::Blue, Shape::Ring);
        let (direction, rank) = Default::default();
        Statement { form: self, noun, other, direction, rank }.text()
    }
}

impl TryFrom<String> for Form {
    type Error = String;

    fn try_from(example: String) -> Result<Self, String> {
        let nouns = [[false, true], [true, false], [true, true]].into_iter();
        let slots = nouns
            .flat_map(|[colour, shape]| [false, true].map(|size| Slots { size, colour, shape }));
        let mut forms = slots.flat_map(|slots| {
            Pattern::VARIANTS.iter().map(move |&pattern| Self { pattern, slots })
        });
        let found = forms.find(|form| form.example() == example);
        found.ok_or_else(|| format!("`{example}` is not the example of a form"))
    }
}

/// A noun phrase: the properties that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Phrase {
    pub size: Option<Size>,
    pub colour: Option<Colour>,
    pub shape: Option<Shape>,
}

impl Phrase {
    fn singular(self) -> String {
        let adjectives = [self.size.map(<&str>::from), self.colour.map(<&str>::from)];
        let noun = self.shape.map_or("shape", Shape::word);
        let words: Vec<_> = adjectives.into_iter().flatten().chain([noun]).collect();
        words.join(" ")
    }

    fn plural(self) -> String {
        let ending = if self.shape == Some(Shape::Cross) { "es" } else { "s" };
        self.singular() + ending
    }
}

/// An expression before it becomes text. Fields that its pattern does not use have their default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Statement {
    pub form: Form,
    pub noun: Phrase,
    pub other: Phrase,
    pub direction: Direction,
    pub rank: Rank,
}

impl Statement {
    pub(crate) fn text(&self) -> String {
        let (noun, other, direction) =
            (self.noun.singular(), self.other.singular(), self.direction);
        let (side, relation, word) = (direction.side(), direction.relation(), direction.into_str());
        match self.form.pattern {
            Pattern::Named => format!("the {noun}"),
            Pattern::Extreme => format!("the {word}most {noun}"),
            Pattern::Side => format!("the {noun} {side}"),
            Pattern::Relation => format!("the {noun} {relation} the {other}"),
            Pattern::Second => format!("the second {noun} from the {word}"),
            Pattern::Superlative => format!("the {} {noun}", self.rank.into_str()),
            Pattern::All => format!("all the {}", self.noun.plural()),
            Pattern::AllSide => format!("all the {} {side}", self.noun.plural()),
            Pattern::Pair => format!("the {noun} and the {other}"),
        }
    }
}
