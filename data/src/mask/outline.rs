//! Outlines of a mask: polygons along the edges of its pixels, with holes.
//!
//! Pixels that share a side are one part; pixels that share only a corner are two. A ring walks with the
//! foreground on its right, so outer rings turn clockwise (y goes down) and holes the other way.
//! Rasterised again ([`rasterize`](super::polygon::rasterize)), the polygons of
//! [`joined`](Outline::joined) give the mask back pixel for pixel where nothing was simplified.

use std::collections::HashMap;

use super::bitmap::Bitmap;

/// The corners of a closed ring as `[x, y]` between pixels; the last joins the first.
pub type Ring = Vec<[u32; 2]>;

/// The most corners of a ring that are looked at for a short cut to another.
const CUT_CANDIDATES: usize = 1024;

/// One part of a mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// Around the part.
    pub outer: Ring,
    /// Around each hole in it.
    pub holes: Vec<Ring>,
}

impl Outline {
    /// One ring for formats without holes: it goes along a cut to each hole, around it and back. The
    /// two ways along a cut cancel, by the even-odd rule and in COCO's rasteriser.
    pub fn joined(&self) -> Ring {
        join(&self.outer, &self.holes)
    }

    /// Outer ring and holes.
    pub fn rings(&self) -> impl Iterator<Item = &Ring> {
        std::iter::once(&self.outer).chain(&self.holes)
    }
}

/// One ring for all parts, for formats that know one polygon an object; see [`Outline::joined`].
pub fn join_parts(parts: &[Outline]) -> Ring {
    let rings: Vec<_> = parts.iter().map(Outline::joined).collect();
    rings.split_first().map_or_else(Vec::new, |(first, others)| join(first, others))
}

/// The parts of a mask, in the order of their first pixels. Rings lose corners that lie within
/// `tolerance` pixels of the rest (Douglas and Peucker); holes that vanish by it are dropped, parts are not.
pub fn outlines(mask: &Bitmap, tolerance: f64) -> Vec<Outline> {
    let mut tracer = Tracer::new(mask);
    tracer.trace_all();
    let owners = tracer.owners();
    let mut parts: Vec<Option<Outline>> = Vec::with_capacity(tracer.rings.len());
    for (index, ring) in tracer.rings.iter().enumerate() {
        let outer = owners[index] == index;
        parts.push(outer.then(|| {
            let simple = simplify(ring, tolerance);
            let outer = if simple.len() < 3 { ring.clone() } else { simple };
            Outline { outer, holes: Vec::new() }
        }));
    }
    for (ring, &owner) in tracer.rings.iter().zip(&owners) {
        if let Some(part) = &mut parts[owner]
            && is_hole(ring)
        {
            part.holes.extend(Some(simplify(ring, tolerance)).filter(|hole| hole.len() >= 3));
        }
    }
    parts.into_iter().flatten().collect()
}

/// East, south, west and north, each a right turn from the last.
const STEPS: [[i64; 2]; 4] = [[1, 0], [0, 1], [-1, 0], [0, -1]];
/// The pixel ahead on the right, from a corner, for each heading; the one on the left is that of the
/// heading before.
const RIGHT_AHEAD: [[i64; 2]; 4] = [[0, 0], [-1, 0], [-1, -1], [0, -1]];

struct Tracer<'a> {
    mask: &'a Bitmap,
    rings: Vec<Ring>,
    /// Whether the upper side of a foreground pixel has been walked.
    walked: Vec<bool>,
    /// The ring that walks up the left side of a foreground pixel, by the pixel's place.
    left_sides: HashMap<usize, usize>,
}

impl<'a> Tracer<'a> {
    fn new(mask: &'a Bitmap) -> Self {
        let walked = vec![false; mask.pixels().len()];
        Self { mask, rings: Vec::new(), walked, left_sides: HashMap::new() }
    }

    fn is_inside(&self, [x, y]: [i64; 2]) -> bool {
        let place = |value: i64| usize::try_from(value).unwrap_or(usize::MAX);
        self.mask.get(place(y), place(x)).unwrap_or(false)
    }

    /// Every ring goes east somewhere, with a foreground pixel below and background above.
    fn trace_all(&mut self) {
        let (height, width) = (self.mask.height(), self.mask.width());
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let place = y * width + x;
            let upper_side = self.mask.pixels()[place]
                && (y == 0 || !self.mask.pixels()[place - width])
                && !self.walked[place];
            if upper_side {
                let ring = self.trace([x as i64, y as i64]);
                self.rings.push(ring);
            }
        }
    }

    /// The ring that leaves `start` eastwards; the scan meets each ring at a corner first.
    fn trace(&mut self, start: [i64; 2]) -> Ring {
        let add = |[x, y]: [i64; 2], [dx, dy]: [i64; 2]| [x + dx, y + dy];
        let (mut corner, mut heading, mut ring) = (start, 0, Vec::new());
        loop {
            ring.push(corner.map(|value| value as u32));
            let next = loop {
                let width = self.mask.width();
                let [x, y] = corner.map(|value| value as usize);
                match heading {
                    0 => self.walked[y * width + x] = true,
                    3 => drop(self.left_sides.insert((y - 1) * width + x, self.rings.len())),
                    _ => {}
                }
                corner = add(corner, STEPS[heading]);
                let ahead = |heading: usize| self.is_inside(add(corner, RIGHT_AHEAD[heading]));
                match (ahead(heading), ahead((heading + 3) % 4)) {
                    (false, _) => break (heading + 1) % 4,
                    (true, true) => break (heading + 3) % 4,
                    (true, false) => {}
                }
            };
            heading = next;
            if (corner, heading) == (start, 0) {
                return ring;
            }
        }
    }

    /// For each ring the outer ring of its part; an outer ring is its own.
    ///
    /// From the leftmost side of a hole, the foreground to its left ends at a ring of the same part that
    /// reaches further left: the outer one, or another hole.
    fn owners(&self) -> Vec<usize> {
        let mut next: Vec<usize> = (0..self.rings.len()).collect();
        for (index, ring) in self.rings.iter().enumerate().filter(|(_, ring)| is_hole(ring)) {
            // Left sides of a hole go down: of the leftmost corners, one is followed by a lower one.
            let sides = ring.iter().zip(ring.iter().cycle().skip(1));
            let down = sides.filter(|(from, to)| from[0] == to[0] && from[1] < to[1]);
            let Some(&[x, y]) = down.map(|(from, _)| from).min_by_key(|from| from[0]) else {
                continue;
            };
            let row = y as usize * self.mask.width();
            let mut place = row + x as usize - 1;
            while place > row && self.mask.pixels()[place - 1] {
                place -= 1;
            }
            next[index] = self.left_sides.get(&place).copied().unwrap_or(index);
        }
        let owner = |mut ring: usize| {
            while next[ring] != ring {
                ring = next[ring];
            }
            ring
        };
        (0..next.len()).map(owner).collect()
    }
}

/// Whether a ring turns against the clock.
fn is_hole(ring: &Ring) -> bool {
    let corners = ring.iter().zip(ring.iter().cycle().skip(1));
    let twice_area = corners.map(|(&a, &b)| cross(a, b)).sum::<i64>();
    twice_area < 0
}

fn cross(a: [u32; 2], b: [u32; 2]) -> i64 {
    i64::from(a[0]) * i64::from(b[1]) - i64::from(b[0]) * i64::from(a[1])
}

/// `base` with every other ring joined to it by a cut from its first corner to a near one of `base`.
fn join(base: &Ring, others: &[Ring]) -> Ring {
    if others.is_empty() {
        return base.clone();
    }
    let stride = base.len().div_ceil(CUT_CANDIDATES).max(1);
    let mut cuts: Vec<Vec<&Ring>> = vec![Vec::new(); base.len()];
    for other in others.iter().filter(|other| !other.is_empty()) {
        let distance = |index: &usize| {
            let [dx, dy] =
                [0, 1].map(|axis| i64::from(base[*index][axis].abs_diff(other[0][axis])));
            dx * dx + dy * dy
        };
        if let Some(near) = (0..base.len()).step_by(stride).min_by_key(distance) {
            cuts[near].push(other);
        }
    }
    let mut ring = Vec::new();
    for (&corner, cuts) in base.iter().zip(cuts) {
        ring.push(corner);
        for other in cuts {
            ring.extend(other.iter().chain([&other[0], &corner]));
        }
    }
    ring
}

/// Douglas and Peucker's simplification of a ring, from its first corner and the one farthest from it.
fn simplify(ring: &Ring, tolerance: f64) -> Ring {
    if tolerance.is_nan() || tolerance <= 0.0 || ring.len() < 4 {
        return ring.clone();
    }
    let limit = tolerance * tolerance;
    let squared = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2);
    let mut points: Vec<[f64; 2]> = ring.iter().map(|corner| corner.map(f64::from)).collect();
    points.push(points[0]);
    let last = points.len() - 1;
    let from_first = |index: &usize| squared(points[0], points[*index]);
    let far = (1..last).max_by(|a, b| from_first(a).total_cmp(&from_first(b))).unwrap_or(0);
    let mut keep = vec![false; points.len()];
    (keep[0], keep[far]) = (true, true);
    let mut spans = vec![(0, far), (far, last)];
    while let Some((start, end)) = spans.pop() {
        let (a, b) = (points[start], points[end]);
        let length = squared(a, b);
        let off = |index: &usize| {
            let p = points[*index];
            let along = (p[0] - a[0]) * (b[0] - a[0]) + (p[1] - a[1]) * (b[1] - a[1]);
            let t = if length > 0.0 { (along / length).clamp(0.0, 1.0) } else { 0.0 };
            squared(p, [a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])])
        };
        let farthest = (start + 1..end).max_by(|a, b| off(a).total_cmp(&off(b)));
        if let Some(middle) = farthest.filter(|middle| off(middle) > limit) {
            keep[middle] = true;
            spans.extend([(start, middle), (middle, end)]);
        }
    }
    ring.iter().zip(keep).filter(|(_, keep)| *keep).map(|(&corner, _)| corner).collect()
}

#[cfg(test)]
mod tests {
    use super::super::polygon::rasterize;
    use super::*;

    fn flat(ring: &Ring) -> Vec<f64> {
        ring.iter().flatten().map(|&value| f64::from(value)).collect()
    }

    fn bitmap(rows: &[&str]) -> Bitmap {
        let pixels = rows.iter().flat_map(|row| row.bytes()).map(|byte| byte == b'#').collect();
        Bitmap::from_pixels(rows.len(), rows[0].len(), pixels).unwrap()
    }

    #[test]
    fn parts_and_holes_are_told_apart() {
        let mask = bitmap(&["#####.", "#.#.#.", "#####.", ".....#"]);
        let parts = outlines(&mask, 0.0);
        assert_eq!(parts.len(), 2, "a corner does not join");
        assert_eq!(parts[0].outer, [[0, 0], [5, 0], [5, 3], [0, 3]]);
        let holes = [[[1, 2], [2, 2], [2, 1], [1, 1]], [[3, 2], [4, 2], [4, 1], [3, 1]]];
        assert_eq!(parts[0].holes, holes);
        assert_eq!(parts[1].outer, [[5, 3], [6, 3], [6, 4], [5, 4]]);
        assert!(outlines(&bitmap(&["...", "..."]), 0.0).is_empty());
    }

    #[test]
    fn simplified_outlines_stay_within_the_tolerance() {
        // A disc of radius 60: its staircase has hundreds of corners.
        let inside = |i: usize| (i % 128).abs_diff(64).pow(2) + (i / 128).abs_diff(64).pow(2);
        let disc = (0..128 * 128).map(|i| inside(i) <= 3600).collect();
        let disc = Bitmap::from_pixels(128, 128, disc).unwrap();
        let exact = outlines(&disc, 0.0)[0].outer.len();
        let simple = &outlines(&disc, 1.0)[0].outer;
        assert!(simple.len() * 5 < exact, "{} of {exact}", simple.len());
        let again = rasterize(128, 128, &[flat(simple)]).unwrap();
        assert!(disc.overlap(&again).unwrap().iou() > 0.95);
        // A single pixel is not lost, a hole of one is.
        let ring = bitmap(&["#####", "#####", "##.##", "#####", "#####"]);
        assert!(outlines(&ring, 3.0)[0].holes.is_empty());
        assert_eq!(outlines(&bitmap(&["#"]), 3.0)[0].outer.len(), 4);
    }
}
