//! What an expression refers to, found from its words and the visible pixels.
//!
//! This knows nothing of how expressions are written: it has a grammar, words and margins of its
//! own, and measures places by the middle of what is visible of each object. What is not clear to
//! the eye is an error and not an answer.
//!
//! ```text
//! expression = "all the" phrase [side] | "the" ( order | phrase [ side | relation | "and the" phrase ] )
//! order      = extreme phrase | [ "second" ] size-rank phrase | "second" phrase "from the" direction
//! phrase     = [ size ] [ colour ] noun
//! side       = "on the" ( "left" | "right" ) | "at the" ( "top" | "bottom" )
//! relation   = ( "above" | "below" | "left of" | "right of" ) "the" phrase
//! ```

use thiserror::Error;

use super::{Colour, Scene, Shape, Size};

/// Why an expression refers to nothing that can be named.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CheckError {
    /// The words are not an expression of this language.
    #[error("`{text}` is no expression: {expected} expected, found {found}")]
    Grammar {
        /// The expression, control characters escaped.
        text: String,
        /// What could stand there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// The scene does not settle what is meant.
    #[error("`{text}` is not clear: {reason}")]
    Unclear {
        /// The expression.
        text: String,
        /// What stands in the way.
        reason: String,
    },
}

/// The least share of every object that must be visible.
const VISIBLE: f32 = 0.6;
/// The least visible pixels of an object, as a share of the picture.
const PIXELS: f32 = 0.004;
/// By how much of the picture's side one object must be ahead of another.
const AHEAD: f32 = 0.06;
/// A side of the picture begins beyond this share, ...
const SIDE: f32 = 0.56;
/// ... and what is short of this is not there.
const BESIDE: f32 = 0.49;
/// How far something above another is above it, ...
const ABOVE: f32 = 0.14;
/// ... how far it may be aside, in shares of that, ...
const ASIDE: f32 = 1.3;
/// ... and how far something is below it that is not above.
const BELOW: f32 = 0.05;
/// How many times as wide as a smaller object a larger one looks, at least.
const LARGER: f32 = 1.15;

/// The indices of the objects that `text` refers to, in order; none if there is nothing of the kind.
///
/// # Errors
/// If the words are no expression, or the scene does not settle what is meant.
pub fn check(text: &str, scene: &Scene) -> Result<Vec<usize>, CheckError> {
    let meaning = Parser::parse(text)?;
    let unclear = |reason: String| CheckError::Unclear { text: text.to_owned(), reason };
    let seen = look(scene).map_err(unclear)?;
    let mut found = Eye { seen: &seen }.find(&meaning).map_err(unclear)?;
    found.sort_unstable();
    Ok(found)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Left,
    Right,
    Up,
    Down,
}

/// A phrase: the words an object must answer to.
#[derive(Debug, Clone, Copy, Default)]
struct Phrase {
    size: Option<Size>,
    colour: Option<Colour>,
    shape: Option<Shape>,
}

#[derive(Debug, Clone, Copy)]
enum Meaning {
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

struct Parser<'t> {
    text: &'t str,
    words: Vec<&'t str>,
    next: usize,
}

impl<'t> Parser<'t> {
    fn parse(text: &'t str) -> Result<Meaning, CheckError> {
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

/// An object as the eye has it.
struct Seen {
    size: Size,
    colour: Colour,
    shape: Shape,
    /// The middle of its visible pixels, as shares of the picture.
    middle: [f32; 2],
    /// The longer side of the box around them, in pixels.
    extent: u32,
}

/// Measures every object; an error if one is too hidden or too small to speak of the scene at all.
fn look(scene: &Scene) -> Result<Vec<Seen>, String> {
    #[derive(Clone, Copy)]
    struct Tally {
        count: u32,
        sum: [u64; 2],
        low: [u32; 2],
        high: [u32; 2],
    }
    let empty = Tally { count: 0, sum: [0; 2], low: [u32::MAX; 2], high: [0; 2] };
    let mut tallies = vec![empty; scene.objects().len()];
    let (width, height) = (scene.width(), scene.height());
    for (y, row) in (0u32..).zip(scene.owners().chunks_exact(width as usize)) {
        for (x, &owner) in (0u32..).zip(row) {
            let Some(tally) = tallies.get_mut(usize::from(owner)) else { continue };
            tally.count += 1;
            for (axis, at) in [x, y].into_iter().enumerate() {
                tally.sum[axis] += u64::from(at);
                tally.low[axis] = tally.low[axis].min(at);
                tally.high[axis] = tally.high[axis].max(at);
            }
        }
    }
    let all = scene.objects().iter().zip(&tallies).enumerate();
    all.map(|(index, (object, tally))| {
        let share = tally.count as f32 / object.area.max(1) as f32;
        if share < VISIBLE {
            return Err(format!("object {index} shows {share} of itself, {VISIBLE} expected"));
        }
        let pixels = tally.count as f32 / (width * height) as f32;
        if pixels < PIXELS {
            return Err(format!("object {index} fills {pixels} of the picture, {PIXELS} expected"));
        }
        let mean = |axis: usize| tally.sum[axis] as f32 / tally.count as f32 + 0.5;
        Ok(Seen {
            size: object.size,
            colour: object.colour,
            shape: object.shape,
            middle: [mean(0) / width as f32, mean(1) / height as f32],
            extent: (0..2).map(|axis| tally.high[axis] + 1 - tally.low[axis]).max().unwrap_or(0),
        })
    })
    .collect()
}

struct Eye<'s> {
    seen: &'s [Seen],
}

type Found = Result<Vec<usize>, String>;

impl Eye<'_> {
    fn find(&self, meaning: &Meaning) -> Found {
        match *meaning {
            Meaning::Only(phrase) => self.at_most_one(self.called(phrase)?),
            Meaning::Both(a, b) => {
                let (a, b) = (self.called(a)?, self.called(b)?);
                match (a.len(), b.len()) {
                    (0, 0) => Ok(Vec::new()),
                    (1, 1) if a != b => Ok([a, b].concat()),
                    (m, n) => Err(format!("{m} and {n} objects are called so")),
                }
            }
            Meaning::Every(phrase, None) => self.called(phrase),
            Meaning::Every(phrase, Some(way)) => self.within(phrase, way),
            Meaning::Within(phrase, way) => self.at_most_one(self.within(phrase, way)?),
            Meaning::Foremost(way, phrase) => {
                let order = self.sorted(phrase, way)?;
                match order.len() {
                    0 => Ok(Vec::new()),
                    1 => Err("there is only one to choose from".to_owned()),
                    _ => self.clearly_nth(&order, way, 0),
                }
            }
            Meaning::SecondFrom(way, phrase) => {
                let order = self.sorted(phrase, way)?;
                if order.len() < 2 { Ok(Vec::new()) } else { self.clearly_nth(&order, way, 1) }
            }
            Meaning::Beyond(phrase, way, anchor) => self.beyond(phrase, way, anchor),
            Meaning::Largest { second, phrase } => {
                self.by_size(phrase, usize::from(second), |a, b| b.cmp(&a))
            }
            Meaning::Smallest(phrase) => self.by_size(phrase, 0, |a, b| a.cmp(&b)),
        }
    }

    /// Everything that answers to a phrase. Where a size is named, sizes must look as different as
    /// they are.
    fn called(&self, phrase: Phrase) -> Found {
        if phrase.size.is_some() {
            let alike = |seen: &&Seen| {
                phrase.colour.is_none_or(|colour| colour == seen.colour)
                    && phrase.shape.is_none_or(|shape| shape == seen.shape)
            };
            let all: Vec<&Seen> = self.seen.iter().filter(alike).collect();
            self.sizes_show(&all)?;
        }
        let answers = |seen: &Seen| {
            phrase.size.is_none_or(|size| seen.size == size)
                && phrase.colour.is_none_or(|colour| seen.colour == colour)
                && phrase.shape.is_none_or(|shape| seen.shape == shape)
        };
        Ok((0..self.seen.len()).filter(|&index| answers(&self.seen[index])).collect())
    }

    fn sizes_show(&self, all: &[&Seen]) -> Result<(), String> {
        for large in all {
            for small in all.iter().filter(|small| small.size < large.size) {
                if (large.extent as f32) < LARGER * small.extent as f32 {
                    let (large, small) = (large.extent, small.extent);
                    return Err(format!("{large} pixels across against {small} is not larger"));
                }
            }
        }
        Ok(())
    }

    fn at_most_one(&self, found: Vec<usize>) -> Found {
        match found.len() {
            0 | 1 => Ok(found),
            many => Err(format!("{many} objects are called so")),
        }
    }

    /// How far an object is along a way.
    fn advance(&self, index: usize, way: Way) -> f32 {
        let [x, y] = self.seen[index].middle;
        match way {
            Way::Left => -x,
            Way::Right => x,
            Way::Up => -y,
            Way::Down => y,
        }
    }

    fn sorted(&self, phrase: Phrase, way: Way) -> Found {
        let mut order = self.called(phrase)?;
        order.sort_by(|&a, &b| self.advance(b, way).total_cmp(&self.advance(a, way)));
        Ok(order)
    }

    /// The object at a place of an order, if nobody could take its neighbours for it.
    fn clearly_nth(&self, order: &[usize], way: Way, nth: usize) -> Found {
        let at = |place: usize| order.get(place).map(|&index| self.advance(index, way));
        let chosen = at(nth).ok_or("there are too few")?;
        let ahead = nth.checked_sub(1).and_then(at).map(|before| before - chosen);
        let behind = at(nth + 1).map(|after| chosen - after);
        match [ahead, behind].into_iter().flatten().find(|gap| *gap < AHEAD) {
            Some(gap) => Err(format!("a lead of {gap}, {AHEAD} expected")),
            None => Ok(vec![order[nth]]),
        }
    }

    fn within(&self, phrase: Phrase, way: Way) -> Found {
        let mut inside = Vec::new();
        for index in self.called(phrase)? {
            let [x, y] = self.seen[index].middle;
            let depth = match way {
                Way::Left => 1.0 - x,
                Way::Right => x,
                Way::Up => 1.0 - y,
                Way::Down => y,
            };
            if depth > SIDE {
                inside.push(index);
            } else if depth > BESIDE {
                return Err(format!("object {index} is in the middle, at {depth}"));
            }
        }
        Ok(inside)
    }

    fn beyond(&self, phrase: Phrase, way: Way, anchor: Phrase) -> Found {
        let anchors = self.called(anchor)?;
        let &[anchor] = anchors.as_slice() else {
            return Err(format!("{} objects to go by, one expected", anchors.len()));
        };
        let mut found = Vec::new();
        for index in self.called(phrase)?.into_iter().filter(|&index| index != anchor) {
            let lead = self.advance(index, way) - self.advance(anchor, way);
            let axis = if matches!(way, Way::Left | Way::Right) { 1 } else { 0 };
            let aside = (self.seen[index].middle[axis] - self.seen[anchor].middle[axis]).abs();
            if lead >= ABOVE && aside <= ASIDE * lead {
                found.push(index);
            } else if lead > -BELOW {
                return Err(format!("object {index} leads by {lead} and is {aside} aside"));
            }
        }
        self.at_most_one(found)
    }

    fn by_size(
        &self,
        phrase: Phrase,
        nth: usize,
        compare: impl Fn(Size, Size) -> std::cmp::Ordering,
    ) -> Found {
        let mut order = self.called(phrase)?;
        if order.len() <= nth {
            return Ok(Vec::new());
        }
        if order.len() == 1 {
            return Err("there is only one to choose from".to_owned());
        }
        let all: Vec<&Seen> = order.iter().map(|&index| &self.seen[index]).collect();
        self.sizes_show(&all)?;
        order.sort_by(|&a, &b| compare(self.seen[a].size, self.seen[b].size));
        let size = |place: usize| order.get(place).map(|&index| self.seen[index].size);
        if (0..=nth).any(|place| size(place) == size(place + 1)) {
            return Err("two are of one size".to_owned());
        }
        Ok(vec![order[nth]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_expression_is_refused() {
        let scene = super::super::generate(&super::super::World::small(), 1, 0);
        let wrong = [
            "",
            " ",
            "the",
            "all",
            "all the",
            "all the star",
            "the stars",
            "star",
            "the  star",
            "the red",
            "the red red star",
            "the star red",
            "the star and",
            "the star and the",
            "the second star",
            "the second star from the",
            "the star on the top",
            "The star",
            "the star above",
            "the star left the ring",
            "the leftmost",
            "the star.",
            "the ☆",
        ];
        for text in wrong {
            let found = check(text, &scene);
            assert!(matches!(found, Err(CheckError::Grammar { .. })), "`{text}`: {found:?}");
        }
        assert!(check(&"the ".repeat(100_000), &scene).is_err());
    }
}
