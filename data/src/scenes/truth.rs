//! What is true of a scene: the writer's side.
//!
//! The margins here are wider than the [checker's](super::checker), which measures visible pixels
//! where this goes by the centres that objects were placed at.

use super::forms::{Direction, Form, Noun, Rank, Statement};
use super::{Colour, Object, Scene, Shape, Size};

/// What a statement refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    /// These objects, one bit for each.
    Targets(u32),
    /// Nothing, though something fits but for one property.
    NothingLike,
    /// Nothing, though something fits but for its place.
    NothingThere,
    /// Not clear, not said by people, or too far from what there is.
    Unsaid,
}

/// By how much of the picture's side the first must be ahead of the next.
const AHEAD: f32 = 0.10;
/// What is at a side lies beyond this share of the picture, ...
const AT_SIDE: f32 = 0.60;
/// ... and what is not, short of this.
const NOT_AT_SIDE: f32 = 0.45;
/// By how much something above another is above it, ...
const RELATED: f32 = 0.19;
/// ... and by how much something that is not is below it.
const OPPOSED: f32 = 0.10;

/// How many times a smaller object's width a larger one shows, at least, if sizes are spoken of.
/// Shapes of one diameter differ by a quarter in how far they reach.
const LARGER: f32 = 1.45;

/// What the writer knows of an object.
struct Seen {
    shape: Shape,
    colour: Colour,
    size: Size,
    /// How many pixels it is across, and how many of them show if it is cut at one side.
    across: [f32; 2],
    /// Its centre, as shares of the picture's width and height.
    place: [f32; 2],
}

/// What the writer knows of a scene.
pub(super) struct Sight {
    objects: Vec<Seen>,
}

impl Sight {
    pub(super) fn of(scene: &Scene) -> Self {
        let [width, height] = [scene.width() as f32, scene.height() as f32];
        let see = |object: &Object| Seen {
            shape: object.shape,
            colour: object.colour,
            size: object.size,
            across: [object.diameter, object.diameter * object.visible_share()],
            place: [object.centre[0] / width, object.centre[1] / height],
        };
        Self { objects: scene.objects().iter().map(see).collect() }
    }

    /// What a statement refers to.
    pub(super) fn truth(&self, statement: &Statement) -> Truth {
        let Statement { form, noun, other, direction, rank } = *statement;
        let named = self.named(noun);
        let count = named.count_ones();
        let sized = noun.size.is_some() || matches!(form, Form::Superlative(_));
        if sized && !self.sizes_show() {
            return Truth::Unsaid;
        }
        match form {
            Form::Named(_) => match count {
                0 => self.nothing_like(noun),
                1 => Truth::Targets(named),
                _ => Truth::Unsaid,
            },
            Form::All(_) if count > 0 => Truth::Targets(named),
            Form::Relation(_) => self.related(named, noun, self.named(other), direction),
            Form::Pair(_) => match (count, self.named(other)) {
                (1, others) if others.count_ones() == 1 => Truth::Targets(named | others),
                (0, 0) if self.nothing_like(other) == Truth::NothingLike => self.nothing_like(noun),
                _ => Truth::Unsaid,
            },
            _ if count == 0 => self.nothing_like(noun),
            Form::Extreme(_) => self.nth(named, direction, 0),
            Form::Second(_) => self.nth(named, direction, 1),
            Form::Superlative(_) => self.ranked(named, rank),
            Form::Side(_) | Form::AllSide(_) | Form::All(_) => {
                self.at_side(named, direction, !form.is_singular())
            }
        }
    }

    /// The objects that a noun names, one bit for each.
    fn named(&self, noun: Noun) -> u32 {
        let fits = |seen: &Seen| misfits(noun, seen) == 0;
        let bits = self.objects.iter().enumerate().filter(|(_, seen)| fits(seen));
        bits.fold(0, |bits, (index, _)| bits | 1 << index)
    }

    /// Whether nobody can mistake one size for another anywhere in the scene.
    fn sizes_show(&self) -> bool {
        self.objects.iter().all(|a| {
            let mut smaller = self.objects.iter().filter(|b| b.size < a.size);
            smaller.all(|b| a.across[1] >= LARGER * b.across[0])
        })
    }

    /// Nothing, if something fits a noun but for one property.
    fn nothing_like(&self, noun: Noun) -> Truth {
        match self.objects.iter().any(|seen| misfits(noun, seen) == 1) {
            true => Truth::NothingLike,
            false => Truth::Unsaid,
        }
    }

    /// The objects of some bits with how far they lie in a direction, the farthest first.
    fn in_order(&self, bits: u32, direction: Direction) -> Vec<(usize, f32)> {
        let mut order: Vec<_> = indices(bits)
            .filter_map(|index| Some((index, direction.along(self.objects.get(index)?.place))))
            .collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1));
        order
    }

    /// The first (0) or second (1) in a direction. A first needs a second to be ahead of.
    fn nth(&self, named: u32, direction: Direction, nth: usize) -> Truth {
        let order = self.in_order(named, direction);
        match order.get(nth) {
            None => return Truth::NothingThere,
            Some(_) if order.len() == 1 => return Truth::Unsaid,
            _ => {}
        }
        let clear = order.windows(2).take(nth + 1).all(|pair| pair[0].1 - pair[1].1 >= AHEAD);
        if clear { Truth::Targets(1 << order[nth].0) } else { Truth::Unsaid }
    }

    fn at_side(&self, named: u32, direction: Direction, several: bool) -> Truth {
        let mut there = 0u32;
        for (index, along) in self.in_order(named, direction) {
            if along >= AT_SIDE {
                there |= 1 << index;
            } else if along > NOT_AT_SIDE {
                return Truth::Unsaid;
            }
        }
        match there.count_ones() {
            0 => Truth::NothingThere,
            1 => Truth::Targets(there),
            _ if several => Truth::Targets(there),
            _ => Truth::Unsaid,
        }
    }

    fn related(&self, named: u32, noun: Noun, anchors: u32, direction: Direction) -> Truth {
        let mut anchor = indices(anchors);
        let (Some(anchor), None) = (anchor.next().and_then(|i| self.objects.get(i)), anchor.next())
        else {
            return Truth::Unsaid;
        };
        if named == 0 {
            return self.nothing_like(noun);
        }
        let mut related = 0u32;
        for (index, along) in self.in_order(named, direction) {
            let Some(seen) = self.objects.get(index) else { continue };
            let ahead = along - direction.along(anchor.place);
            if ahead >= RELATED && direction.across(seen.place, anchor.place) <= ahead {
                related |= 1 << index;
            } else if ahead > -OPPOSED {
                return Truth::Unsaid;
            }
        }
        match related.count_ones() {
            0 => Truth::NothingThere,
            1 => Truth::Targets(related),
            _ => Truth::Unsaid,
        }
    }

    fn ranked(&self, named: u32, rank: Rank) -> Truth {
        let mut order: Vec<_> = indices(named)
            .filter_map(|index| Some((self.objects.get(index)?.size, index)))
            .collect();
        order.sort();
        if rank != Rank::Smallest {
            order.reverse();
        }
        let sizes: Vec<_> = order.iter().map(|(size, _)| *size).collect();
        let alone = |nth: usize| sizes.iter().filter(|size| **size == sizes[nth]).count() == 1;
        match (rank, sizes.len()) {
            (Rank::SecondLargest, 1) => Truth::NothingThere,
            (_, 0 | 1) => Truth::Unsaid,
            (Rank::SecondLargest, _) if alone(0) && alone(1) => Truth::Targets(1 << order[1].1),
            (Rank::Largest | Rank::Smallest, _) if alone(0) => Truth::Targets(1 << order[0].1),
            _ => Truth::Unsaid,
        }
    }
}

/// How many of the properties that a noun names an object lacks.
fn misfits(noun: Noun, seen: &Seen) -> usize {
    let wrong = [
        noun.size.is_some_and(|size| size != seen.size),
        noun.colour.is_some_and(|colour| colour != seen.colour),
        noun.shape.is_some_and(|shape| shape != seen.shape),
    ];
    wrong.into_iter().filter(|wrong| *wrong).count()
}

/// The places of the bits that are set.
pub(super) fn indices(bits: u32) -> impl Iterator<Item = usize> {
    (0..u32::BITS as usize).filter(move |index| bits >> index & 1 == 1)
}
