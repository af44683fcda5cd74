//! The result for one expression: probabilities, a mask, a box, a score.

use mllmseg_data::mask::probability::mask_from_probabilities;
use mllmseg_data::mask::{Bitmap, MaskError, Rle};

/// The answer to one expression.
#[derive(Debug, Clone)]
pub struct MaskPrediction {
    /// The expression.
    pub expression: String,
    /// Probability of every pixel at the model's resolution, row by row, `[size, size]`.
    pub probabilities: Vec<f32>,
    /// Side of `probabilities` (448 in published models).
    pub size: usize,
    /// A pixel is foreground from this probability on.
    pub threshold: f32,
    /// Foreground at the image's own size; empty when rejected.
    pub mask: Bitmap,
    /// `[xmin, ymin, xmax + 1, ymax + 1]` in pixels of the image; none for an empty mask.
    pub bounding_box: Option<[u32; 4]>,
    /// Mean probability inside the mask at the model's resolution, 0 when nothing is foreground.
    pub score: f32,
    /// Whether the model says that there is no such thing in the image (`[REJ]`).
    pub rejected: bool,
}

impl MaskPrediction {
    pub(super) fn new(
        expression: String,
        probabilities: Vec<f32>,
        size: usize,
        rejected: bool,
        (height, width): (usize, usize),
        threshold: f32,
    ) -> Result<Self, MaskError> {
        let mask = if rejected {
            Bitmap::new(height, width)?
        } else {
            mask_from_probabilities(&probabilities, (size, size), (height, width), threshold)?
        };
        let bounding_box = mask.bounding_box();
        let score = mean_foreground(&probabilities, threshold);
        Ok(Self { expression, probabilities, size, threshold, mask, bounding_box, score, rejected })
    }

    /// The same answer with the mask of what is at least as probable as `threshold`.
    ///
    /// # Errors
    /// None for an answer of a session.
    pub fn at_threshold(self, threshold: f32) -> Result<Self, MaskError> {
        let Self { expression, probabilities, size, mask, rejected, .. } = self;
        let [height, width] = mask.size();
        Self::new(expression, probabilities, size, rejected, (height, width), threshold)
    }

    /// The mask as COCO run-length encoding.
    pub fn rle(&self) -> Rle {
        Rle::from_bitmap(&self.mask)
    }
}

fn mean_foreground(probabilities: &[f32], threshold: f32) -> f32 {
    let foreground = probabilities.iter().filter(|&&p| p >= threshold);
    let (sum, count) = foreground.fold((0f64, 0u64), |(sum, n), &p| (sum + p as f64, n + 1));
    if count == 0 { 0.0 } else { (sum / count as f64) as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn score_is_the_mean_probability_inside() {
        assert_eq!(mean_foreground(&[0.25, 0.5, 1.0, 0.1], 0.5), 0.75);
        assert_eq!(mean_foreground(&[0.1, 0.2], 0.5), 0.0);
    }

    #[test]
    fn a_rejected_expression_has_an_empty_mask_and_keeps_its_probabilities() {
        let prediction =
            MaskPrediction::new("x".into(), vec![0.9; 4], 2, true, (3, 5), 0.5).unwrap();
        assert!(prediction.mask.is_empty() && prediction.bounding_box.is_none());
        assert_eq!(prediction.mask.size(), [3, 5]);
        assert_eq!(prediction.probabilities, [0.9; 4]);
        assert_eq!(prediction.rle().area(), 0);
    }
}
