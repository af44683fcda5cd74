//! Probabilities into masks: resized to the original image first, then thresholded.
//!
//! The order matters: a mask thresholded at the model's 448 x 448 and resized afterwards has other
//! edges. The interpolation is `torch.nn.functional.interpolate(mode="bilinear",
//! align_corners=False, antialias=False)` in f32: output pixel `i` looks at source place `max((i +
//! 0.5) * from / to - 0.5, 0)`, columns first and then rows, the last source pixel standing for
//! everything beyond it.

use rayon::prelude::*;

use super::bitmap::{Bitmap, check_buffer, checked_pixel_count};
use super::error::MaskError;

/// A pixel is foreground from this probability on.
pub const THRESHOLD: f32 = 0.5;

/// Output rows that one task makes at a time, sharing the source rows it has stretched.
const ROWS_PER_TASK: usize = 32;

/// The mask of the original image's size `to` from the model's probabilities `[height, width]` of
/// `from`.
///
/// Resizes bilinearly and takes what is at least [`THRESHOLD`], in one pass; NaN is background.
///
/// # Errors
/// [`MaskError::ImageSize`] for a size no mask may have, [`MaskError::PixelCount`] for a buffer
/// that is not of the size `from`.
pub fn mask_from_probabilities(
    probabilities: &[f32],
    from: (usize, usize),
    to: (usize, usize),
) -> Result<Bitmap, MaskError> {
    mask_at_threshold(probabilities, from, to, THRESHOLD)
}

/// As [`mask_from_probabilities`], with another threshold.
///
/// # Errors
/// As [`mask_from_probabilities`].
pub fn mask_at_threshold(
    probabilities: &[f32],
    from: (usize, usize),
    to: (usize, usize),
    threshold: f32,
) -> Result<Bitmap, MaskError> {
    let pixels = resize_map(probabilities, from, to, |probability| probability >= threshold)?;
    Bitmap::from_pixels(to.0, to.1, pixels)
}

fn resize_map<T: Clone + Default + Send>(
    source: &[f32],
    from: (usize, usize),
    to: (usize, usize),
    map: impl Fn(f32) -> T + Sync,
) -> Result<Vec<T>, MaskError> {
    check_buffer(from.0, from.1, source.len())?;
    let mut output = vec![T::default(); checked_pixel_count(to.0, to.1)?];
    let (rows, columns) = (taps(from.0, to.0), taps(from.1, to.1));
    let task = ROWS_PER_TASK * to.1;
    output.par_chunks_mut(task).enumerate().for_each(|(index, chunk)| {
        let mut upper = Stretched::new(to.1);
        let mut lower = Stretched::new(to.1);
        for (row, line) in (index * ROWS_PER_TASK..).zip(chunk.chunks_exact_mut(to.1)) {
            let tap = rows[row];
            // Going down the image, the lower source row often becomes the upper one.
            if lower.row == Some(tap.first) {
                std::mem::swap(&mut upper, &mut lower);
            }
            upper.load(source, from.1, tap.first, &columns);
            lower.load(source, from.1, tap.second, &columns);
            for ((pixel, &above), &below) in line.iter_mut().zip(&upper.line).zip(&lower.line) {
                *pixel = map((1.0 - tap.weight) * above + tap.weight * below);
            }
        }
    });
    Ok(output)
}

/// The two source places that an output place looks at.
#[derive(Clone, Copy)]
struct Tap {
    first: usize,
    second: usize,
    /// The second place's weight; the first has the rest of 1.
    weight: f32,
}

/// Where each output place along one axis looks; neither length is 0.
fn taps(from: usize, to: usize) -> Vec<Tap> {
    let (scale, last) = (from as f32 / to as f32, from - 1);
    let tap = |output: usize| {
        let place = (scale * (output as f32 + 0.5) - 0.5).max(0.0);
        let first = (place as usize).min(last);
        let weight = (place - first as f32).min(1.0);
        Tap { first, second: (first + 1).min(last), weight }
    };
    (0..to).map(tap).collect()
}

/// One source row stretched to the output's width.
struct Stretched {
    row: Option<usize>,
    line: Vec<f32>,
}

impl Stretched {
    fn new(width: usize) -> Self {
        Self { row: None, line: vec![0.0; width] }
    }

    fn load(&mut self, source: &[f32], width: usize, row: usize, columns: &[Tap]) {
        if self.row == Some(row) {
            return;
        }
        let values = &source[row * width..(row + 1) * width];
        for (value, tap) in self.line.iter_mut().zip(columns) {
            *value = (1.0 - tap.weight) * values[tap.first] + tap.weight * values[tap.second];
        }
        self.row = Some(row);
    }
}

#[cfg(test)]
#[path = "../../tests/shapes/mod.rs"]
mod shapes;

#[cfg(test)]
mod tests {
    use super::*;

    fn resize(source: &[f32], from: (usize, usize), to: (usize, usize)) -> Vec<f32> {
        resize_map(source, from, to, |probability| probability).unwrap()
    }

    /// (from, to) as in `tests/oracle/mask_oracle.py`, which wrote torch's values.
    const RESIZES: [((usize, usize), (usize, usize)); 9] = [
        ((7, 5), (13, 9)),
        ((4, 4), (4, 4)),
        ((14, 14), (31, 20)),
        ((32, 32), (10, 17)),
        ((1, 1), (5, 3)),
        ((1, 8), (4, 3)),
        ((9, 2), (3, 40)),
        ((33, 21), (100, 64)),
        ((448, 448), (480, 640)),
    ];
    /// Of the largest map, the oracle kept every value at a multiple of this.
    const LARGE_STEP: usize = 97;

    #[test]
    fn probabilities_are_stretched_as_by_torch() {
        let expected = include_bytes!("../../tests/fixtures/mask/resize.bin");
        let mut expected = expected.as_chunks().0.iter();
        for (index, (from, to)) in RESIZES.into_iter().enumerate() {
            let mut random = shapes::Random::new(2_000_000 + index as u64);
            let source: Vec<_> = (0..from.0 * from.1).map(|_| random.uniform() as f32).collect();
            let resized = resize(&source, from, to);
            let step = if resized.len() > 100_000 { LARGE_STEP } else { 1 };
            for (place, &found) in resized.iter().enumerate().step_by(step) {
                let expected = f32::from_le_bytes(*expected.next().unwrap());
                assert_eq!(found, expected, "{from:?} -> {to:?}, value {place}");
            }
            let mask = mask_from_probabilities(&source, from, to).unwrap();
            let thresholded: Vec<_> = resized.iter().map(|&value| value >= 0.5).collect();
            assert_eq!(mask.pixels(), thresholded);
        }
        assert!(expected.next().is_none());
    }

    /// By hand: places 0, 0.25, 0.75, 1 between 0 and 1.
    #[test]
    fn doubling_a_row() {
        assert_eq!(resize(&[0.0, 1.0], (1, 2), (1, 4)), [0.0, 0.25, 0.75, 1.0]);
        assert_eq!(resize(&[0.0, 1.0], (2, 1), (4, 1)), [0.0, 0.25, 0.75, 1.0]);
    }

    #[test]
    fn one_half_is_foreground_and_nan_is_not() {
        let mask = mask_from_probabilities(&[0.5, 0.5f32.next_down()], (1, 2), (1, 2)).unwrap();
        assert_eq!(mask.to_bytes(1), [1, 0]);
        let nan = mask_from_probabilities(&[f32::NAN], (1, 1), (2, 2)).unwrap();
        assert!(nan.is_empty());
    }

    #[test]
    fn sizes_are_checked() {
        let short = mask_from_probabilities(&[0.0; 3], (2, 2), (4, 4));
        assert!(matches!(short, Err(MaskError::PixelCount { expected: 4, found: 3, .. })));
        for to in [(0, 4), (usize::MAX, usize::MAX), (20_000, 20_000)] {
            let found = mask_from_probabilities(&[0.0; 4], (2, 2), to);
            assert!(matches!(found, Err(MaskError::ImageSize { .. })));
        }
    }
}
