//! The grammar of expressions.
//!
//! ```text
//! expression = "all the" phrase [side] | "the" ( order | phrase [ side | relation | "and the" phrase ] )
//! order      = extreme phrase | [ "second" ] size-rank phrase | "second" phrase "from the" direction
//! phrase     = [ size ] [ colour ] noun
//! side       = "on the" ( "left" | "right" ) | "at the" ( "top" | "bottom" )
//! relation   = ( "above" | "below" | "left of" | "right of" ) "the" phrase
//! ```

use mllmseg_scenes::{Colour, Shape, Size};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};

/// A direction in the image: along x (axis 0) or y (axis 1), with (1) or against (-1) the axis.
#[derive(Debug, Clone, Copy)]
pub struct Direction {
    pub axis: usize,
    pub sign: f32,
}

/// The properties that an object must have.
#[derive(Debug, Clone, Copy)]
pub struct Phrase {
    pub size: Option<Size>,
    pub colour: Option<Colour>,
    pub shape: Option<Shape>,
}

#[derive(Debug, Clone, Copy)]
pub enum Meaning {
    Only(Phrase),
    Both(Phrase, Phrase),
    Every(Phrase, Option<Direction>),
    Extreme(Direction, Phrase),
    SecondFrom(Direction, Phrase),
    AtSide(Phrase, Direction),
    Relation(Phrase, Direction, Phrase),
    Largest { second: bool, phrase: Phrase },
    Smallest(Phrase),
}

/// The meaning of an expression, if the words are one.
pub fn parse(text: &str) -> Option<Meaning> {
    let directions = [
        (0, -1.0, "left", "on", " left of the "),
        (0, 1.0, "right", "on", " right of the "),
        (1, -1.0, "top", "at", " above the "),
        (1, 1.0, "bottom", "at", " below the "),
    ];
    let one = |text| phrase(text, false);
    let all = text.strip_prefix("all the ");
    let rest = text.strip_prefix("the ").unwrap_or_default();
    for (axis, sign, word, preposition, relation) in directions {
        let direction = Direction { axis, sign };
        let side = format!(" {preposition} the {word}");
        if let Some(all) = all.and_then(|all| all.strip_suffix(&side)) {
            return Some(Meaning::Every(phrase(all, true)?, Some(direction)));
        }
        if let Some(inside) = rest.strip_suffix(&side) {
            return Some(Meaning::AtSide(one(inside)?, direction));
        }
        if let Some(extreme) = rest.strip_prefix(&format!("{word}most ")) {
            return Some(Meaning::Extreme(direction, one(extreme)?));
        }
        if let Some(second) = rest.strip_suffix(&format!(" from the {word}")) {
            return Some(Meaning::SecondFrom(direction, one(second.strip_prefix("second ")?)?));
        }
        if let Some((related, anchor)) = rest.split_once(relation) {
            return Some(Meaning::Relation(one(related)?, direction, one(anchor)?));
        }
    }
    if let Some(all) = all {
        return Some(Meaning::Every(phrase(all, true)?, None));
    }
    for (rank, second) in [("second largest ", true), ("largest ", false)] {
        if let Some(ranked) = rest.strip_prefix(rank) {
            return Some(Meaning::Largest { second, phrase: one(ranked)? });
        }
    }
    if let Some(smallest) = rest.strip_prefix("smallest ") {
        return Some(Meaning::Smallest(one(smallest)?));
    }
    match rest.split_once(" and the ") {
        Some((a, b)) => Some(Meaning::Both(one(a)?, one(b)?)),
        None => Some(Meaning::Only(one(rest)?)),
    }
}

fn phrase(text: &str, plural: bool) -> Option<Phrase> {
    let words: Vec<&str> = text.split(' ').collect();
    let (noun, adjectives) = words.split_last()?;
    let (size, adjectives) = take(adjectives);
    let (colour, adjectives) = take(adjectives);
    let noun = match *noun {
        "crosses" if plural => "cross",
        noun if plural => noun.strip_suffix('s')?,
        noun => noun,
    };
    let shape = if noun == "shape" { None } else { Some(value(noun)?) };
    adjectives.is_empty().then_some(Phrase { size, colour, shape })
}

/// The value that the first word names, if it names one, and the words after it.
fn take<'w, T: for<'de> Deserialize<'de>>(words: &'w [&str]) -> (Option<T>, &'w [&'w str]) {
    match words.split_first().and_then(|(word, rest)| Some((value(word)?, rest))) {
        Some((value, rest)) => (Some(value), rest),
        None => (None, words),
    }
}

/// The value that a word names, as in the files of worlds.
fn value<T: for<'de> Deserialize<'de>>(word: &str) -> Option<T> {
    let word: StrDeserializer<'_, Error> = word.into_deserializer();
    T::deserialize(word).ok()
}
