//! The words of expressions, and the phrases made of them.

use super::forms::{Direction, Form, Noun, Rank, Statement};
use super::{Colour, Shape, Size, World};

/// A shape as one and as many.
fn shape_words(shape: Option<Shape>) -> [&'static str; 2] {
    match shape {
        None => ["shape", "shapes"],
        Some(Shape::Circle) => ["circle", "circles"],
        Some(Shape::Square) => ["square", "squares"],
        Some(Shape::Triangle) => ["triangle", "triangles"],
        Some(Shape::Star) => ["star", "stars"],
        Some(Shape::Ring) => ["ring", "rings"],
        Some(Shape::Cross) => ["cross", "crosses"],
        Some(Shape::Diamond) => ["diamond", "diamonds"],
        Some(Shape::Heart) => ["heart", "hearts"],
        Some(Shape::Moon) => ["moon", "moons"],
        Some(Shape::Arrow) => ["arrow", "arrows"],
    }
}

impl Shape {
    /// Its name.
    pub fn word(self) -> &'static str {
        shape_words(Some(self))[0]
    }
}

impl Colour {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Green => "green",
            Self::Blue => "blue",
            Self::Yellow => "yellow",
            Self::Purple => "purple",
            Self::White => "white",
            Self::Black => "black",
            Self::Orange => "orange",
        }
    }
}

impl Size {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        }
    }
}

impl Direction {
    fn word(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
            Self::Top => "top",
            Self::Bottom => "bottom",
        }
    }

    fn extreme(self) -> &'static str {
        match self {
            Self::Left => "leftmost",
            Self::Right => "rightmost",
            Self::Top => "topmost",
            Self::Bottom => "bottommost",
        }
    }

    /// "on the left", "at the top".
    fn side(self) -> String {
        let preposition = if matches!(self, Self::Left | Self::Right) { "on" } else { "at" };
        format!("{preposition} the {}", self.word())
    }

    fn relation(self) -> &'static str {
        match self {
            Self::Left => "left of",
            Self::Right => "right of",
            Self::Top => "above",
            Self::Bottom => "below",
        }
    }
}

impl Rank {
    fn word(self) -> &'static str {
        match self {
            Self::Largest => "largest",
            Self::Smallest => "smallest",
            Self::SecondLargest => "second largest",
        }
    }
}

impl Noun {
    fn one(self) -> String {
        self.text(shape_words(self.shape)[0])
    }

    fn many(self) -> String {
        self.text(shape_words(self.shape)[1])
    }

    fn text(self, noun: &str) -> String {
        let adjectives = [self.size.map(Size::word), self.colour.map(Colour::word)];
        let words: Vec<_> = adjectives.into_iter().flatten().chain([noun]).collect();
        words.join(" ")
    }
}

impl Statement {
    /// The expression.
    pub(super) fn text(&self) -> String {
        let (noun, place) = (self.noun, self.direction);
        match self.form {
            Form::Named(_) => format!("the {}", noun.one()),
            Form::Extreme(_) => format!("the {} {}", place.extreme(), noun.one()),
            Form::Side(_) => format!("the {} {}", noun.one(), place.side()),
            Form::Relation(_) => {
                format!("the {} {} the {}", noun.one(), place.relation(), self.other.one())
            }
            Form::Second(_) => format!("the second {} from the {}", noun.one(), place.word()),
            Form::Superlative(_) => format!("the {} {}", self.rank.word(), noun.one()),
            Form::All(_) => format!("all the {}", noun.many()),
            Form::AllSide(_) => format!("all the {} {}", noun.many(), place.side()),
            Form::Pair(_) => format!("the {} and the {}", noun.one(), self.other.one()),
        }
    }
}

/// Every word that expressions about a world may have, sorted.
pub(super) fn vocabulary(world: &World) -> Vec<&'static str> {
    let mut words = vec!["the"];
    let forms = || world.forms.iter().filter(|(_, weight)| *weight > 0).map(|(form, _)| *form);
    let said = |slot: fn(Form) -> bool| forms().any(slot);
    if said(|form| form.slots().size) {
        words.extend(world.all_sizes().iter().map(|size| size.word()));
    }
    if said(|form| form.slots().colour) {
        words.extend(world.all_colours().iter().map(|colour| colour.word()));
    }
    let shapes = || world.all_shapes().iter().copied().map(Some).chain([None]);
    words.extend(shapes().flat_map(shape_words));
    for form in forms() {
        let directions = Direction::ALL.into_iter();
        match form {
            Form::Named(_) => {}
            Form::Extreme(_) => words.extend(directions.map(Direction::extreme)),
            Form::Side(_) | Form::AllSide(_) => {
                words.extend(directions.map(Direction::word).chain(["on", "at", "all"]))
            }
            Form::Relation(_) => words.extend(["above", "below", "left", "right", "of"]),
            Form::Second(_) => {
                words.extend(directions.map(Direction::word).chain(["second", "from"]))
            }
            Form::Superlative(_) => words.extend(["largest", "smallest", "second"]),
            Form::All(_) => words.push("all"),
            Form::Pair(_) => words.push("and"),
        }
    }
    words.sort_unstable();
    words.dedup();
    words
}
