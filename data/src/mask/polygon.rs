//! Polygons into pixels, exactly as pycocotools does it (`frPyObjects`, `merge`, `decode`).
//!
//! # The rule
//! 1. Every vertex is scaled by 5, 0.5 is added and the fraction dropped (towards zero).
//! 2. Every edge becomes one point per step along its longer side, walked from its smaller end; the
//!    other coordinate is rounded the same way. The last vertex joins the first.
//! 3. A pixel column `c` has its centre between the fine columns `5c + 2` and `5c + 3`. Wherever
//!    the outline steps from one to the other, a boundary crosses the column at the smaller fine
//!    row `v` of the two points, and so above pixel row `ceil((v - 2) / 5)`, limited to
//!    `0..=height`.
//! 4. A pixel is inside when an odd number of crossings lies above it in its column.
//!
//! Only crossings matter, so they are computed directly from each edge in place of walking its
//! points: the work depends on the image's width and not on how far outside a vertex lies, and the
//! memory on the image's size alone. The outline is closed, so every column has an even number of
//! crossings and no run leaks into the next one.
//!
//! # Why not a dependency
//! The crate `hotcoco` rasterises too, but brings a whole evaluation toolkit (PNG, XML, random
//! numbers) for what are a hundred lines here, and annotations are outside input: bounds on memory
//! belong in this file. `tests/masks.rs` compares 12,000 shapes with pycocotools 2.0.11, pixel for
//! pixel.

use super::bitmap::Bitmap;
use super::error::{MAX_COORDINATE, MaskError};

/// Fine steps per pixel.
const SCALE: i64 = 5;
/// The fine column of a pixel column, or row of a pixel row, just before its centre.
const CENTRE: i64 = 2;
/// A part with fewer points encloses nothing and is dropped (MLLMSeg's rule for every data set).
pub(super) const MIN_POINTS: usize = 3;

/// A fine point: (column, row).
type Point = (i64, i64);

/// The union of polygons, each `[x1, y1, x2, y2, ...]` in pixels, as a mask of the image.
///
/// Parts of fewer than three points are dropped; without any part the mask is empty. Within one
/// polygon the even-odd rule holds.
///
/// # Errors
/// [`MaskError::ImageSize`], [`MaskError::OddCoordinates`], or [`MaskError::Coordinate`] for one
/// that is not finite or beyond [`MAX_COORDINATE`]. Dropped parts are checked too.
pub fn rasterize(
    height: usize,
    width: usize,
    polygons: &[impl AsRef<[f64]>],
) -> Result<Bitmap, MaskError> {
    let mut mask = Bitmap::new(height, width)?;
    for (part, polygon) in polygons.iter().enumerate() {
        check_coordinates(part, polygon.as_ref())?;
    }
    let mut crossings = Crossings::new(height, width);
    for polygon in polygons {
        let points = fine_points(polygon.as_ref());
        if points.len() < MIN_POINTS {
            continue;
        }
        let ends = points.iter().skip(1).chain(points.first());
        for (&start, &end) in points.iter().zip(ends) {
            trace_edge(start, end, width, |column, fine_row| crossings.add(column, fine_row));
        }
        crossings.fill(&mut mask);
    }
    Ok(mask)
}

pub(super) fn check_coordinates(part: usize, coordinates: &[f64]) -> Result<(), MaskError> {
    if !coordinates.len().is_multiple_of(2) {
        return Err(MaskError::OddCoordinates { part, found: coordinates.len() });
    }
    // NaN is within nothing.
    match coordinates.iter().position(|value| !(-MAX_COORDINATE..=MAX_COORDINATE).contains(value)) {
        Some(index) => Err(MaskError::Coordinate { part, index, value: coordinates[index] }),
        None => Ok(()),
    }
}

fn fine_points(coordinates: &[f64]) -> Vec<Point> {
    let fine = |value: f64| (SCALE as f64 * value + 0.5) as i64;
    coordinates.as_chunks().0.iter().map(|&[x, y]| (fine(x), fine(y))).collect()
}

/// Visits the (pixel column, fine row) of every crossing of one edge within the image's columns.
fn trace_edge(start: Point, end: Point, width: usize, mut visit: impl FnMut(usize, i64)) {
    let (left, right) = (start.0.min(end.0), start.0.max(end.0));
    // The columns c with left <= 5c + 2 and 5c + 3 <= right.
    let first = (left - CENTRE + SCALE - 1).div_euclid(SCALE).max(0);
    let past = (right - CENTRE - 1).div_euclid(SCALE) + 1;
    let columns = first..past.min(width as i64);
    let (run, rise) = ((end.0 - start.0).abs(), (end.1 - start.1).abs());
    if run >= rise {
        let (from, to) = if start.0 > end.0 { (end, start) } else { (start, end) };
        let slope = (to.1 - from.1) as f64 / run as f64;
        let row_at = |x: i64| (from.1 as f64 + slope * (x - from.0) as f64 + 0.5) as i64;
        for column in columns {
            let x = SCALE * column + CENTRE;
            visit(column as usize, row_at(x).min(row_at(x + 1)));
        }
    } else {
        let (from, to) = if start.1 > end.1 { (end, start) } else { (start, end) };
        let slope = (to.0 - from.0) as f64 / rise as f64;
        let column_at = |step: i64| (from.0 as f64 + slope * step as f64 + 0.5) as i64;
        for column in columns {
            let x = SCALE * column + CENTRE;
            let starts_left = from.0 <= x;
            let step = last_step(rise, |step| (column_at(step) <= x) == starts_left);
            visit(column as usize, from.1 + step);
        }
    }
}

/// The last of the steps `0..end` at which `holds`, which is true first and false from some step
/// on.
fn last_step(end: i64, holds: impl Fn(i64) -> bool) -> i64 {
    let (mut last, mut past) = (0, end);
    while past - last > 1 {
        let middle = last + (past - last) / 2;
        if holds(middle) {
            last = middle;
        } else {
            past = middle;
        }
    }
    last
}

/// The crossings of one polygon: a pixel is true where an odd number lies on its upper side.
struct Crossings {
    odd: Bitmap,
    /// Columns and rows touched so far, both half open.
    columns: (usize, usize),
    rows: (usize, usize),
}

impl Crossings {
    /// No crossing; the size has been checked.
    fn new(height: usize, width: usize) -> Self {
        let odd = Bitmap { height, width, pixels: vec![false; height * width] };
        Self { odd, columns: (width, 0), rows: (height, 0) }
    }

    fn add(&mut self, column: usize, fine_row: i64) {
        let Bitmap { height, width, .. } = self.odd;
        let row =
            (fine_row + SCALE - 1 - CENTRE).div_euclid(SCALE).clamp(0, height as i64) as usize;
        self.columns = (self.columns.0.min(column), self.columns.1.max(column + 1));
        self.rows = (self.rows.0.min(row), self.rows.1.max(row));
        // A crossing below the last row closes nothing within the image.
        if let Some(odd) = self.odd.pixels.get_mut(row * width + column) {
            *odd ^= true;
        }
    }

    /// Adds the inside to a mask, and forgets the polygon.
    fn fill(&mut self, mask: &mut Bitmap) {
        let width = self.odd.width;
        let mut inside = vec![false; self.columns.1.saturating_sub(self.columns.0)];
        for row in self.rows.0..self.rows.1 {
            let span = row * width + self.columns.0..row * width + self.columns.1;
            let (odd, mask) = (&mut self.odd.pixels[span.clone()], &mut mask.pixels[span]);
            for ((inside, odd), pixel) in inside.iter_mut().zip(odd).zip(mask) {
                *inside ^= std::mem::take(odd);
                *pixel |= *inside;
            }
        }
        // The last row touched closes every run, so it is read by no pixel but must be cleared.
        if self.rows.1 < self.odd.height && self.columns.0 < self.columns.1 {
            let last = self.rows.1 * width;
            self.odd.pixels[last + self.columns.0..last + self.columns.1].fill(false);
        }
        (self.columns, self.rows) = ((width, 0), (self.odd.height, 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rectangle_covers_the_centres_it_holds() {
        let mask = rasterize(4, 5, &[[1.0, 1.0, 4.0, 1.0, 4.0, 3.0, 1.0, 3.0]]).unwrap();
        #[rustfmt::skip]
        assert_eq!(mask.to_bytes(1), [
            0, 0, 0, 0, 0,
            0, 1, 1, 1, 0,
            0, 1, 1, 1, 0,
            0, 0, 0, 0, 0,
        ]);
    }

    #[test]
    fn nothing_is_drawn_without_three_points() {
        let none: [Vec<f64>; 0] = [];
        assert!(rasterize(3, 3, &none).unwrap().is_empty());
        assert!(rasterize(3, 3, &[vec![], vec![0.0, 0.0, 3.0, 3.0]]).unwrap().is_empty());
    }

    #[test]
    fn coordinates_are_checked() {
        let odd = rasterize(3, 3, &[vec![0.0; 6], vec![0.0; 7]]);
        assert_eq!(odd, Err(MaskError::OddCoordinates { part: 1, found: 7 }));
        for value in [f64::INFINITY, f64::NEG_INFINITY, 1.1e6, -1e300, f64::NAN] {
            let found = rasterize(3, 3, &[vec![0.0, 0.0, 3.0, value, 1.0, 1.0]]);
            assert!(matches!(found, Err(MaskError::Coordinate { part: 0, index: 3, .. })));
        }
        let size = rasterize(usize::MAX, 3, &[vec![0.0; 6]]);
        assert!(matches!(size, Err(MaskError::ImageSize { .. })));
    }

    /// The far corners of the largest polygon allowed: the image is all inside.
    #[test]
    fn the_largest_polygon_covers_the_image() {
        let far = MAX_COORDINATE;
        let mask = rasterize(30, 40, &[[-far, -far, far, -far, far, far, -far, far]]).unwrap();
        assert_eq!(mask.area(), 1200);
    }
}
