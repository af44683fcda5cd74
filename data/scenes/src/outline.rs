//! The outlines of the shapes, and their exact coverage of pixels.
//!
//! Every outline is a polygon with corners from fractions and tables: sums, products, quotients and
//! square roots of floats are the same on every machine, sines are not.

use tiny_skia::{FillRule, Mask, Path, PathBuilder, Transform};

use crate::vocabulary::Shape;

/// A corner: right and down.
type Point = [f32; 2];

/// How many pieces a quarter of a circle has; at 40 pixels across it is off by 0.04.
const PIECES: usize = 16;
/// Cosine and sine of 18 and 54 degrees, for the star.
const C18: f32 = 0.951_056_5;
const S18: f32 = 0.309_017;
const C54: f32 = 0.587_785_25;
const S54: f32 = 0.809_017;
/// Half the square root of 3.
const HALF_ROOT_3: f32 = 0.866_025_4;

/// The polygons around a shape of diameter 2. Its centre of mass is at or near the origin.
pub(crate) fn contours(shape: Shape) -> Vec<Vec<Point>> {
    match shape {
        Shape::Circle => vec![circle([0.0, 0.0], 1.0)],
        Shape::Square => vec![vec![[-0.92, -0.92], [0.92, -0.92], [0.92, 0.92], [-0.92, 0.92]]],
        Shape::Triangle => {
            let (radius, across) = (1.2, 1.2 * HALF_ROOT_3);
            vec![vec![[0.0, -radius], [across, radius / 2.0], [-across, radius / 2.0]]]
        }
        Shape::Star => vec![star(1.17, 0.54)],
        Shape::Ring => vec![circle([0.0, 0.0], 1.02), circle([0.0, 0.0], 0.52)],
        Shape::Cross => {
            let (a, b) = (0.34, 1.05);
            let quarter = [[a, -b], [a, -a], [b, -a]];
            vec![around(&quarter)]
        }
        Shape::Diamond => vec![vec![[0.0, -1.15], [0.78, 0.0], [0.0, 1.15], [-0.78, 0.0]]],
        Shape::Heart => vec![heart()],
        Shape::Moon => vec![moon()],
        Shape::Arrow => vec![vec![
            [0.0, -1.15],
            [0.9, -0.05],
            [0.36, -0.05],
            [0.36, 1.1],
            [-0.36, 1.1],
            [-0.36, -0.05],
            [-0.9, -0.05],
        ]],
    }
}

/// Four copies of a quarter's corners, turned by 0 to 3 right angles.
fn around(quarter: &[Point]) -> Vec<Point> {
    let turns: [fn(Point) -> Point; 4] =
        [|[x, y]| [x, y], |[x, y]| [-y, x], |[x, y]| [-x, -y], |[x, y]| [y, -x]];
    turns.iter().flat_map(|turn| quarter.iter().map(|&point| turn(point))).collect()
}

/// A circle from the rational points ((1 - t^2) / (1 + t^2), 2t / (1 + t^2)).
fn circle(centre: Point, radius: f32) -> Vec<Point> {
    let quarter: Vec<Point> = (0..PIECES)
        .map(|step| {
            let t = step as f32 / PIECES as f32;
            let below = 1.0 + t * t;
            [(1.0 - t * t) / below, 2.0 * t / below]
        })
        .collect();
    let place = |[x, y]: Point| [centre[0] + radius * x, centre[1] + radius * y];
    around(&quarter).into_iter().map(place).collect()
}

fn star(outer: f32, inner: f32) -> Vec<Point> {
    let tips = [[0.0, -1.0], [C18, -S18], [C54, S54], [-C54, S54], [-C18, -S18]];
    let dents = [[C54, -S54], [C18, S18], [0.0, 1.0], [-C18, S18], [-C54, -S54]];
    let pairs = tips.iter().zip(&dents);
    pairs.flat_map(|(tip, dent)| [tip.map(|v| v * outer), dent.map(|v| v * inner)]).collect()
}

/// Two half discs above a triangle with its point down.
fn heart() -> Vec<Point> {
    // The upper half of a circle, from left to right.
    let lobe = |x: f32| {
        let mut points = circle([x, -0.4], 0.56);
        points.retain(|[_, y]| *y <= -0.4);
        points.sort_by(|a, b| a[0].total_cmp(&b[0]));
        points
    };
    [lobe(-0.56), lobe(0.56), vec![[0.98, 0.05], [0.0, 1.15], [-0.98, 0.05]]].concat()
}

/// A disc of radius 1 minus the disc of radius 0.85 whose centre lies 0.55 to the right.
fn moon() -> Vec<Point> {
    // Where the two circles meet: x = (1 - 0.85^2 + 0.55^2) / (2 * 0.55).
    let meet = (1.0 - 0.85 * 0.85 + 0.55 * 0.55) / 1.1;
    let (scale, shift) = (1.15, 0.3);
    let height = (1.0f32 - meet * meet).sqrt();
    let mut points = vec![[meet, height]];
    points.extend(circle([0.0, 0.0], 1.0).into_iter().filter(|[x, _]| *x < meet - 0.01));
    points.push([meet, -height]);
    let inner = circle([0.55, 0.0], 0.85).into_iter().filter(|[x, _]| *x < meet - 0.01);
    points.extend(inner.collect::<Vec<_>>().into_iter().rev());
    points.into_iter().map(|[x, y]| [(x + shift) * scale, y * scale]).collect()
}

/// The largest distance of a corner from the origin.
pub(crate) fn reach(contours: &[Vec<Point>]) -> f32 {
    let squares = contours.iter().flatten().map(|[x, y]| x * x + y * y);
    squares.fold(0.0f32, f32::max).sqrt()
}

/// How much of each pixel an object covers, 0 to 255, inside its bounding rectangle.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Coverage {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
    pub alpha: Vec<u8>,
}

/// Where and how large a shape is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pose {
    /// The origin of the shape, in pixels.
    pub centre: Point,
    /// Half the diameter, in pixels.
    pub radius: f32,
    /// The tangent of half the rotation angle.
    pub tilt: f32,
}

impl Coverage {
    /// The coverage of a shape in an image of `image_size` (width, height) pixels.
    pub(crate) fn of(contours: &[Vec<Point>], pose: Pose, image_size: [u32; 2]) -> Self {
        let reach = reach(contours) * pose.radius + 1.0;
        let low = |centre: f32| (centre - reach).max(0.0) as u32;
        let high = |centre: f32, side: u32| ((centre + reach).max(0.0) as u32 + 1).min(side);
        let (left, top) = (low(pose.centre[0]), low(pose.centre[1]));
        let width = high(pose.centre[0], image_size[0]).saturating_sub(left);
        let height = high(pose.centre[1], image_size[1]).saturating_sub(top);
        let nothing = Self { left, top, width: 0, height: 0, alpha: Vec::new() };
        let Some(mut mask) = Mask::new(width, height) else { return nothing };
        let Some(path) = path(contours, pose, [left as f32, top as f32]) else { return nothing };
        mask.fill_path(&path, FillRule::EvenOdd, true, Transform::identity());
        Self { left, top, width, height, alpha: mask.data().to_vec() }
    }

    /// The rows, each with the column and row of its first pixel in the image.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (usize, usize, &[u8])> {
        let rows = self.alpha.chunks_exact(self.width.max(1) as usize);
        rows.enumerate().map(|(y, row)| (self.left as usize, self.top as usize + y, row))
    }
}

fn path(contours: &[Vec<Point>], pose: Pose, corner: Point) -> Option<Path> {
    let (t, below) = (pose.tilt, 1.0 + pose.tilt * pose.tilt);
    let (cosine, sine) = ((1.0 - t * t) / below, 2.0 * t / below);
    let place = |[x, y]: Point| {
        let (turned_x, turned_y) = (x * cosine - y * sine, x * sine + y * cosine);
        let x = pose.centre[0] + pose.radius * turned_x - corner[0];
        (x, pose.centre[1] + pose.radius * turned_y - corner[1])
    };
    let mut builder = PathBuilder::new();
    for contour in contours {
        for (index, &point) in contour.iter().enumerate() {
            let (x, y) = place(point);
            if index == 0 { builder.move_to(x, y) } else { builder.line_to(x, y) }
        }
        builder.close();
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Areas by hand: pi r^2, a^2, 3/4 sqrt(3) r^2, ...
    #[test]
    fn shapes_cover_their_area() {
        let pi = std::f64::consts::PI;
        let pose = Pose { centre: [60.3, 58.9], radius: 30.0, tilt: 0.07 };
        let cases = [
            (Shape::Circle, pi),
            (Shape::Square, 1.84 * 1.84),
            (Shape::Triangle, 0.75 * 3f64.sqrt() * 1.2 * 1.2),
            (Shape::Star, 5.0 * 1.17 * 0.54 * (pi / 5.0).sin()),
            (Shape::Ring, pi * (1.02 * 1.02 - 0.52 * 0.52)),
            (Shape::Cross, 4.0 * 0.68 * 1.05 - 0.68 * 0.68),
            (Shape::Diamond, 2.0 * 0.78 * 1.15),
        ];
        for (shape, area) in cases {
            let coverage = Coverage::of(&contours(shape), pose, [120, 120]);
            let found: f64 = coverage.alpha.iter().map(|&alpha| f64::from(alpha) / 255.0).sum();
            let expected = area * 900.0;
            assert!((found / expected - 1.0).abs() < 0.015, "{shape:?}: {found} for {expected}");
        }
    }
}
