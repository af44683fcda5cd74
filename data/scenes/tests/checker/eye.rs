//! The visible pixels of a scene, and the objects that a meaning refers to.

use std::cmp::Reverse;

use mllmseg_scenes::{Object, Scene, Size};

use super::grammar::{Direction, Meaning, Phrase};

/// The least visible share of every object.
const VISIBLE: f32 = 0.6;
/// The least visible pixels of an object, as a share of the image.
const PIXELS: f32 = 0.004;
/// The least lead of one object over another, as a share of the image's side.
const LEAD: f32 = 0.06;
/// An object beyond this share of the image is at the side, ...
const SIDE: f32 = 0.56;
/// ... and one short of this share is not.
const NOT_SIDE: f32 = 0.49;
/// The least distance of an object above another, ...
const ABOVE: f32 = 0.14;
/// ... how far it may be aside, in shares of that distance, ...
const ASIDE: f32 = 1.3;
/// ... and the least distance of an object below it that is not above it.
const BELOW: f32 = 0.05;
/// The least ratio of the widths of a larger and a smaller object.
const LARGER: f32 = 1.15;

/// A scene as its pixels show it.
pub struct Eye<'s> {
    objects: Vec<VisibleObject<'s>>,
}

struct VisibleObject<'s> {
    object: &'s Object,
    /// The mean of its visible pixels, as shares of the image.
    middle: [f32; 2],
    /// The longer side of the box around them, in pixels.
    extent: usize,
}

/// Indices of objects, or why they are not clear.
type Found = Result<Vec<usize>, String>;

impl<'s> Eye<'s> {
    /// Measures every object; an error if one is too hidden or too small.
    pub fn look(scene: &'s Scene) -> Result<Self, String> {
        let sides = [scene.width() as usize, scene.height() as usize];
        let measure = |(index, object): (usize, &'s Object)| {
            let owned = |at: &usize| usize::from(scene.owners()[*at]) == index;
            let pixels: Vec<usize> = (0..scene.owners().len()).filter(owned).collect();
            let count = pixels.len() as f32;
            let visible = count / object.area.max(1) as f32;
            let share = count / (sides[0] * sides[1]) as f32;
            if visible < VISIBLE || share < PIXELS {
                return Err(format!(
                    "{visible} of object {index} is visible, {share} of the image"
                ));
            }
            let along = |axis| {
                let places = pixels.iter().map(move |at| [at % sides[0], at / sides[0]][axis]);
                let extent = places.clone().max()? + 1 - places.clone().min()?;
                Some((extent, (places.sum::<usize>() as f32 / count + 0.5) / sides[axis] as f32))
            };
            let (Some((width, x)), Some((height, y))) = (along(0), along(1)) else {
                return Err(format!("object {index} has no pixels"));
            };
            Ok(VisibleObject { object, middle: [x, y], extent: width.max(height) })
        };
        let objects = scene.objects().iter().enumerate().map(measure);
        Ok(Self { objects: objects.collect::<Result<_, _>>()? })
    }

    /// The objects that a meaning refers to, in no order.
    pub fn find(&self, meaning: &Meaning) -> Found {
        match *meaning {
            Meaning::Only(phrase) => at_most_one(self.named(phrase)?),
            Meaning::Both(a, b) => {
                let (a, b) = (self.named(a)?, self.named(b)?);
                match (a.len(), b.len()) {
                    (0, 0) => Ok(Vec::new()),
                    (1, 1) if a != b => Ok([a, b].concat()),
                    (m, n) => Err(format!("{m} and {n} objects have these names")),
                }
            }
            Meaning::Every(phrase, None) => self.named(phrase),
            Meaning::Every(phrase, Some(direction)) => self.at_side(phrase, direction),
            Meaning::AtSide(phrase, direction) => at_most_one(self.at_side(phrase, direction)?),
            Meaning::Extreme(direction, phrase) => self.nth(phrase, direction, 0),
            Meaning::SecondFrom(direction, phrase) => self.nth(phrase, direction, 1),
            Meaning::Relation(phrase, direction, anchor) => self.related(phrase, direction, anchor),
            Meaning::Largest { second, phrase } => {
                self.by_size(phrase, usize::from(second), Reverse)
            }
            Meaning::Smallest(phrase) => self.by_size(phrase, 0, |size| size),
        }
    }

    /// The objects with the properties of a phrase. If it names a size, larger objects must look larger.
    fn named(&self, phrase: Phrase) -> Found {
        let indices = 0..self.objects.len();
        let alike: Vec<usize> = indices
            .filter(|&index| {
                let object = self.objects[index].object;
                phrase.colour.is_none_or(|colour| colour == object.colour)
                    && phrase.shape.is_none_or(|shape| shape == object.shape)
            })
            .collect();
        let Some(size) = phrase.size else { return Ok(alike) };
        self.sizes_differ(&alike)?;
        Ok(alike.into_iter().filter(|&index| self.objects[index].object.size == size).collect())
    }

    fn sizes_differ(&self, indices: &[usize]) -> Result<(), String> {
        let objects = || indices.iter().map(|&index| &self.objects[index]);
        let differ = |large: &VisibleObject<'_>, small: &VisibleObject<'_>| {
            small.object.size >= large.object.size
                || large.extent as f32 >= LARGER * small.extent as f32
        };
        match objects().all(|large| objects().all(|small| differ(large, small))) {
            true => Ok(()),
            false => Err("sizes do not look different".to_owned()),
        }
    }

    /// How far an object is in a direction.
    fn advance(&self, index: usize, direction: Direction) -> f32 {
        direction.sign * self.objects[index].middle[direction.axis]
    }

    /// The first (0) or second (1) in a direction.
    fn nth(&self, phrase: Phrase, direction: Direction, nth: usize) -> Found {
        let mut order = self.named(phrase)?;
        let advance = |index: usize| self.advance(index, direction);
        order.sort_by(|&a, &b| advance(b).total_cmp(&advance(a)));
        clear_nth(&order, nth, |a, b| advance(a) - advance(b) >= LEAD)
    }

    fn at_side(&self, phrase: Phrase, direction: Direction) -> Found {
        let mut inside = Vec::new();
        for index in self.named(phrase)? {
            let start = if direction.sign < 0.0 { 1.0 } else { 0.0 };
            let depth = start + self.advance(index, direction);
            if depth > SIDE {
                inside.push(index);
            } else if depth > NOT_SIDE {
                return Err(format!("object {index} is in the middle, at {depth}"));
            }
        }
        Ok(inside)
    }

    fn related(&self, phrase: Phrase, direction: Direction, anchor: Phrase) -> Found {
        let anchors = self.named(anchor)?;
        let &[anchor] = anchors.as_slice() else {
            return Err(format!("{} anchors, one expected", anchors.len()));
        };
        let mut found = Vec::new();
        for index in self.named(phrase)?.into_iter().filter(|&index| index != anchor) {
            let lead = self.advance(index, direction) - self.advance(anchor, direction);
            let across = |index: usize| self.objects[index].middle[1 - direction.axis];
            let aside = (across(index) - across(anchor)).abs();
            if lead >= ABOVE && aside <= ASIDE * lead {
                found.push(index);
            } else if lead > -BELOW {
                return Err(format!("object {index} leads by {lead} and is {aside} aside"));
            }
        }
        at_most_one(found)
    }

    /// The first (0) or second (1) by a key of sizes.
    fn by_size<K: Ord>(&self, phrase: Phrase, nth: usize, key: fn(Size) -> K) -> Found {
        let mut order = self.named(phrase)?;
        self.sizes_differ(&order)?;
        let key = |index: usize| key(self.objects[index].object.size);
        order.sort_by_key(|&index| key(index));
        clear_nth(&order, nth, |a, b| key(a) != key(b))
    }
}

/// The object at a place of an order, if it and those before are clear of the next ones. A first needs
/// a second.
fn clear_nth(order: &[usize], nth: usize, clear: impl Fn(usize, usize) -> bool) -> Found {
    let mut pairs = order.windows(2).take(nth + 1);
    match order.get(nth) {
        None => Ok(Vec::new()),
        Some(_) if order.len() == 1 => Err("there is only one to choose from".to_owned()),
        Some(&chosen) if pairs.all(|pair| clear(pair[0], pair[1])) => Ok(vec![chosen]),
        Some(_) => Err("the order is not clear".to_owned()),
    }
}

fn at_most_one(found: Vec<usize>) -> Found {
    match found.len() {
        0 | 1 => Ok(found),
        many => Err(format!("{many} objects match")),
    }
}
