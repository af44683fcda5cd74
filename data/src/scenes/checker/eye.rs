//! What the eye sees of a scene, and what it finds there by an expression's meaning.

use super::super::{Colour, Scene, Shape, Size};
use super::grammar::{Meaning, Phrase, Way};

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

/// An object as the eye has it.
pub(super) struct Seen {
    size: Size,
    colour: Colour,
    shape: Shape,
    /// The middle of its visible pixels, as shares of the picture.
    middle: [f32; 2],
    /// The longer side of the box around them, in pixels.
    extent: u32,
}

/// Measures every object; an error if one is too hidden or too small to speak of the scene at all.
pub(super) fn look(scene: &Scene) -> Result<Vec<Seen>, String> {
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

/// The objects that a meaning refers to, in no order.
pub(super) fn find(seen: &[Seen], meaning: &Meaning) -> Found {
    Eye { seen }.find(meaning)
}

struct Eye<'s> {
    seen: &'s [Seen],
}

/// Indices of objects, or why they are not clear.
pub(super) type Found = Result<Vec<usize>, String>;

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
