//! What an expression refers to, as its annotator sees the scene.
//!
//! The margins here are wider than those of the independent check in `tests/checker/`, which measures
//! visible pixels where this uses the centres that objects were placed at.

use crate::form::{Pattern, Phrase, Statement};
use crate::vocabulary::{Direction, Rank};
use crate::{Object, Scene};

/// What a statement refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Referent {
    /// These objects, one bit for each.
    Targets(u32),
    /// Nothing: some object lacks one named property, the others lack more.
    NoMatch,
    /// Nothing: the named objects are at other places.
    NotInPlace,
    /// Not clear, unusual, or too far from what the scene shows.
    Ambiguous,
}

/// The least lead of the first object over the next, as a share of the image's side.
const LEAD: f32 = 0.10;
/// An object beyond this share of the image is at the side, ...
const AT_SIDE: f32 = 0.60;
/// ... and one short of this share is not.
const NOT_AT_SIDE: f32 = 0.45;
/// An object above another is above it by at least this share, ...
const RELATED: f32 = 0.19;
/// ... and one that is not above it is below it by at least this share.
const OPPOSED: f32 = 0.10;
/// The least ratio of the visible widths of a larger and a smaller object, where sizes are named.
/// Shapes of one diameter differ by a quarter in width.
const LARGER: f32 = 1.45;
/// The least visible share of every object, ...
const VISIBLE_SHARE: f32 = 0.60;
/// ... and its least share of the image. Otherwise nothing is said about the scene.
const IMAGE_SHARE: f32 = 0.004;

/// A scene as its annotator sees it.
pub(crate) struct AnnotatorView<'s> {
    objects: &'s [Object],
    /// Width and height of the image.
    image_size: [f32; 2],
    /// Whether every object shows enough of itself.
    all_visible: bool,
    /// Whether any two sizes in the scene look different.
    sizes_differ: bool,
}

impl<'s> AnnotatorView<'s> {
    pub(crate) fn of(scene: &'s Scene) -> Self {
        let objects = scene.objects();
        let image_size @ [width, height] = [scene.width() as f32, scene.height() as f32];
        let least = IMAGE_SHARE * width * height;
        let all_visible = objects.iter().all(|object| {
            object.visible_share() >= VISIBLE_SHARE && object.visible as f32 >= least
        });
        let sizes_differ = objects.iter().all(|a| {
            // What shows of an object that is cut at one side.
            let visible_width = a.diameter * a.visible_share();
            let mut smaller = objects.iter().filter(|b| b.size < a.size);
            smaller.all(|b| visible_width >= LARGER * b.diameter)
        });
        Self { objects, image_size, all_visible, sizes_differ }
    }

    /// What a statement refers to.
    pub(crate) fn referent(&self, statement: &Statement) -> Referent {
        let Statement { form, noun, other, direction, rank } = *statement;
        let named = self.named(noun);
        let count = named.count_ones();
        let sized = form.slots.size || form.pattern == Pattern::Superlative;
        if !self.all_visible || sized && !self.sizes_differ {
            return Referent::Ambiguous;
        }
        match form.pattern {
            Pattern::Named => match count {
                0 => self.no_match(noun),
                1 => Referent::Targets(named),
                _ => Referent::Ambiguous,
            },
            Pattern::All if count > 0 => Referent::Targets(named),
            Pattern::Relation => self.related(named, noun, self.named(other), direction),
            Pattern::Pair => match (count, self.named(other)) {
                (1, others) if others.count_ones() == 1 => Referent::Targets(named | others),
                (0, 0) if self.no_match(other) == Referent::NoMatch => self.no_match(noun),
                _ => Referent::Ambiguous,
            },
            _ if count == 0 => self.no_match(noun),
            Pattern::Extreme => self.nth(named, direction, 0),
            Pattern::Second => self.nth(named, direction, 1),
            Pattern::Superlative => self.ranked(named, rank),
            Pattern::Side | Pattern::AllSide | Pattern::All => {
                self.at_side(named, direction, !form.pattern.is_singular())
            }
        }
    }

    /// The objects that a phrase names, one bit for each.
    fn named(&self, noun: Phrase) -> u32 {
        let objects = self.objects.iter().enumerate();
        let fitting = objects.filter(|(_, object)| mismatches(noun, object) == 0);
        fitting.fold(0, |bits, (index, _)| bits | 1 << index)
    }

    /// Nothing, if some object lacks one named property only.
    fn no_match(&self, noun: Phrase) -> Referent {
        match self.objects.iter().any(|object| mismatches(noun, object) == 1) {
            true => Referent::NoMatch,
            false => Referent::Ambiguous,
        }
    }

    /// The centre of an object, as shares of the image's width and height.
    fn place(&self, index: usize) -> [f32; 2] {
        let ([x, y], [width, height]) = (self.objects[index].centre, self.image_size);
        [x / width, y / height]
    }

    /// The objects of some bits with how far they lie in a direction, the farthest first.
    fn in_order(&self, bits: u32, direction: Direction) -> Vec<(usize, f32)> {
        let along = |index| (index, direction.along(self.place(index)));
        let mut order: Vec<_> = indices(bits).map(along).collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1));
        order
    }

    /// The first (0) or second (1) in a direction.
    fn nth(&self, named: u32, direction: Direction, nth: usize) -> Referent {
        clear_nth(&self.in_order(named, direction), nth, |a, b| a - b >= LEAD)
    }

    fn at_side(&self, named: u32, direction: Direction, several: bool) -> Referent {
        let mut found = 0;
        for (index, along) in self.in_order(named, direction) {
            if along >= AT_SIDE {
                found |= 1 << index;
            } else if along > NOT_AT_SIDE {
                return Referent::Ambiguous;
            }
        }
        in_place(found, several)
    }

    fn related(&self, named: u32, noun: Phrase, anchors: u32, direction: Direction) -> Referent {
        let mut anchors = indices(anchors);
        let (Some(anchor), None) = (anchors.next(), anchors.next()) else {
            return Referent::Ambiguous;
        };
        if named == 0 {
            return self.no_match(noun);
        }
        let anchor = self.place(anchor);
        let mut found = 0;
        for (index, along) in self.in_order(named, direction) {
            let lead = along - direction.along(anchor);
            if lead >= RELATED && direction.across(self.place(index), anchor) <= lead {
                found |= 1 << index;
            } else if lead > -OPPOSED {
                return Referent::Ambiguous;
            }
        }
        in_place(found, false)
    }

    fn ranked(&self, named: u32, rank: Rank) -> Referent {
        let size = |index: usize| (index, self.objects[index].size);
        let mut order: Vec<_> = indices(named).map(size).collect();
        order.sort_by_key(|(_, size)| *size);
        if rank != Rank::Smallest {
            order.reverse();
        }
        clear_nth(&order, usize::from(rank == Rank::SecondLargest), |a, b| a != b)
    }
}

/// The object at a place of an order, if it and those before are clear of the next ones. There is a
/// first only if there is a second.
fn clear_nth<K: Copy>(order: &[(usize, K)], nth: usize, clear: impl Fn(K, K) -> bool) -> Referent {
    let mut pairs = order.windows(2).take(nth + 1);
    match order.get(nth) {
        None => Referent::NotInPlace,
        Some((chosen, _)) if order.len() > 1 && pairs.all(|pair| clear(pair[0].1, pair[1].1)) => {
            Referent::Targets(1 << chosen)
        }
        Some(_) => Referent::Ambiguous,
    }
}

/// What an expression about places refers to, if these objects are there.
fn in_place(found: u32, several: bool) -> Referent {
    match found.count_ones() {
        0 => Referent::NotInPlace,
        1 => Referent::Targets(found),
        _ if several => Referent::Targets(found),
        _ => Referent::Ambiguous,
    }
}

/// How many of the properties that a phrase names an object lacks.
fn mismatches(noun: Phrase, object: &Object) -> usize {
    usize::from(noun.size.is_some_and(|size| size != object.size))
        + usize::from(noun.colour.is_some_and(|colour| colour != object.colour))
        + usize::from(noun.shape.is_some_and(|shape| shape != object.shape))
}

/// The places of the set bits.
pub(crate) fn indices(bits: u32) -> impl Iterator<Item = usize> {
    (0..u32::BITS as usize).filter(move |index| bits >> index & 1 == 1)
}
