//! The words of expressions and their grammar.
//!
//! ```text
//! expression = "all the" phrase [side] | "the" ( order | phrase [ side | relation | "and the" phrase ] )
//! order      = extreme phrase | [ "second" ] size-rank phrase | "second" phrase "from the" direction
//! phrase     = [ size ] [ colour ] noun
//! side       = "on the" ( "left" | "right" ) | "at the" ( "top" | "bottom" )
//! relation   = ( "above" | "below" | "left of" | "right of" ) "the" phrase
//! ```

use super::super::{Colour, Shape, Size};
use super::CheckError;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Way {
    Left,
    Right,
    Up,
    Down,
}

/// A phrase: the words an object must answer to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Phrase {
    pub size: Option<Size>,
    pub colour: Option<Colour>,
    pub shape: Option<Shape>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Meaning {
    Only(Phrase),
    Both(Phrase, Phrase),
    Every(Phrase, Option<Way>),
    Foremost(Way, Phrase),
    SecondFrom(Way, Phrase),
    Within(Phrase, Way),
    Beyond(Phrase, Way, Phrase),
    Largest { second: bool, phrase: Phrase },
    Smallest(Phrase),
}

pub(super) struct Parser<'t> {
    text: &'t str,
    words: Vec<&'t str>,
    next: usize,
}

impl<'t> Parser<'t> {
    pub(super) fn parse(text: &'t str) -> Result<Meaning, CheckError> {
        // One more than the longest expression has is enough to refuse the rest.
        let words = text.split(' ').take(20).collect();
        let mut parser = Self { text, words, next: 0 };
        let meaning = parser.expression()?;
        match parser.peek() {
            None => Ok(meaning),
            Some(_) => parser.refuse("the end"),
        }
    }

    fn peek(&self) -> Option<&'t str> {
        self.words.get(self.next).copied()
    }

    fn refuse<T>(&self, expected: &'static str) -> Result<T, CheckError> {
        let found =
            self.peek().map_or("the end".into(), |word| format!("`{}`", word.escape_debug()));
        Err(CheckError::Grammar { text: self.text.escape_debug().to_string(), expected, found })
    }

    /// Takes the words that come next if they are these.
    fn takes(&mut self, words: &[&str]) -> bool {
        let taken = self.words[self.next..].starts_with(words);
        self.next += if taken { words.len() } else { 0 };
        taken
    }

    /// Takes the next word if the table has it.
    fn one_of<T: Copy>(&mut self, table: &[(&str, T)]) -> Option<T> {
        let word = self.peek()?;
        let (_, value) = table.iter().find(|(known, _)| *known == word)?;
        self.next += 1;
        Some(*value)
    }

    fn expression(&mut self) -> Result<Meaning, CheckError> {
        if self.takes(&["all", "the"]) {
            let phrase = self.phrase(&MANY)?;
            return Ok(Meaning::Every(phrase, self.side()?));
        }
        if !self.takes(&["the"]) {
            return self.refuse("`the` or `all the`");
        }
        let extremes = [
            ("leftmost", Way::Left),
            ("rightmost", Way::Right),
            ("topmost", Way::Up),
            ("bottommost", Way::Down),
        ];
        if let Some(way) = self.one_of(&extremes) {
            return Ok(Meaning::Foremost(way, self.phrase(&ONE)?));
        }
        if self.takes(&["second", "largest"]) {
            return Ok(Meaning::Largest { second: true, phrase: self.phrase(&ONE)? });
        }
        if self.takes(&["largest"]) {
            return Ok(Meaning::Largest { second: false, phrase: self.phrase(&ONE)? });
        }
        if self.takes(&["smallest"]) {
            return Ok(Meaning::Smallest(self.phrase(&ONE)?));
        }
        if self.takes(&["second"]) {
            let phrase = self.phrase(&ONE)?;
            if !self.takes(&["from", "the"]) {
                return self.refuse("`from the`");
            }
            let ways = [
                ("left", Way::Left),
                ("right", Way::Right),
                ("top", Way::Up),
                ("bottom", Way::Down),
            ];
            return match self.one_of(&ways) {
                Some(way) => Ok(Meaning::SecondFrom(way, phrase)),
                None => self.refuse("a side"),
            };
        }
        self.described()
    }

    /// What begins with a phrase.
    fn described(&mut self) -> Result<Meaning, CheckError> {
        let phrase = self.phrase(&ONE)?;
        if let Some(way) = self.side()? {
            return Ok(Meaning::Within(phrase, way));
        }
        if self.takes(&["and", "the"]) {
            return Ok(Meaning::Both(phrase, self.phrase(&ONE)?));
        }
        let relations: [(&[&str], Way); 4] = [
            (&["above", "the"], Way::Up),
            (&["below", "the"], Way::Down),
            (&["left", "of", "the"], Way::Left),
            (&["right", "of", "the"], Way::Right),
        ];
        for (words, way) in relations {
            if self.takes(words) {
                return Ok(Meaning::Beyond(phrase, way, self.phrase(&ONE)?));
            }
        }
        Ok(Meaning::Only(phrase))
    }

    fn side(&mut self) -> Result<Option<Way>, CheckError> {
        if self.takes(&["on", "the"]) {
            let way = self.one_of(&[("left", Way::Left), ("right", Way::Right)]);
            return way.map_or_else(|| self.refuse("`left` or `right`"), |way| Ok(Some(way)));
        }
        if self.takes(&["at", "the"]) {
            let way = self.one_of(&[("top", Way::Up), ("bottom", Way::Down)]);
            return way.map_or_else(|| self.refuse("`top` or `bottom`"), |way| Ok(Some(way)));
        }
        Ok(None)
    }

    fn phrase(&mut self, nouns: &[(&str, Option<Shape>)]) -> Result<Phrase, CheckError> {
        let size = self.one_of(&SIZES);
        let colour = self.one_of(&COLOURS);
        match self.one_of(nouns) {
            Some(shape) => Ok(Phrase { size, colour, shape }),
            None => self.refuse("a size, a colour or a noun"),
        }
    }
}

const SIZES: [(&str, Size); 3] =
    [("small", Size::Small), ("medium", Size::Medium), ("large", Size::Large)];

const COLOURS: [(&str, Colour); 8] = [
    ("red", Colour::Red),
    ("orange", Colour::Orange),
    ("yellow", Colour::Yellow),
    ("green", Colour::Green),
    ("blue", Colour::Blue),
    ("purple", Colour::Purple),
    ("black", Colour::Black),
    ("white", Colour::White),
];

const ONE: [(&str, Option<Shape>); 11] = [
    ("shape", None),
    ("arrow", Some(Shape::Arrow)),
    ("circle", Some(Shape::Circle)),
    ("cross", Some(Shape::Cross)),
    ("diamond", Some(Shape::Diamond)),
    ("heart", Some(Shape::Heart)),
    ("moon", Some(Shape::Moon)),
    ("ring", Some(Shape::Ring)),
    ("square", Some(Shape::Square)),
    ("star", Some(Shape::Star)),
    ("triangle", Some(Shape::Triangle)),
];

const MANY: [(&str, Option<Shape>); 11] = [
    ("shapes", None),
    ("arrows", Some(Shape::Arrow)),
    ("circles", Some(Shape::Circle)),
    ("crosses", Some(Shape::Cross)),
    ("diamonds", Some(Shape::Diamond)),
    ("hearts", Some(Shape::Heart)),
    ("moons", Some(Shape::Moon)),
    ("rings", Some(Shape::Ring)),
    ("squares", Some(Shape::Square)),
    ("stars", Some(Shape::Star)),
    ("triangles", Some(Shape::Triangle)),
];
