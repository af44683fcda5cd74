//! Referring expression segmentation and comprehension: every expression has one target.

use serde::{Deserialize, Serialize};

use super::mean::{MeanIou, percent};
use super::protocol::Protocol;
use crate::mask::{Bitmap, MaskError, Overlap};

/// An expression is found at one of these thresholds when its mask's IoU is at least as large.
const THRESHOLDS: [f64; 5] = [0.5, 0.6, 0.7, 0.8, 0.9];
/// A box is found when its IoU is larger.
const BOX_THRESHOLD: f64 = 0.5;

/// The sums behind a [`ReferringReport`].
#[derive(Debug, Clone)]
pub struct ReferringMetrics {
    protocol: Protocol,
    n: u64,
    total: Overlap,
    mean_iou: MeanIou,
    found: [u64; THRESHOLDS.len()],
    boxes: u64,
    boxes_found: u64,
}

impl ReferringMetrics {
    /// No expression yet.
    pub fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            n: 0,
            total: Overlap::default(),
            mean_iou: MeanIou::new(protocol),
            found: [0; THRESHOLDS.len()],
            boxes: 0,
            boxes_found: 0,
        }
    }

    /// Counts one expression, and returns its IoU as it goes into the mean.
    ///
    /// `image` tells the images apart (any number will do). `annotated_box` is the annotation's
    /// COCO box `[x, y, width, height]` in pixels; without it the expression does not count for
    /// REC. An empty union has IoU 0, and an empty prediction has no box and is not found.
    ///
    /// # Errors
    /// [`MaskError::SizeMismatch`] when the masks differ in size; nothing is counted then.
    pub fn add(
        &mut self,
        image: u64,
        prediction: &Bitmap,
        truth: &Bitmap,
        annotated_box: Option<[f64; 4]>,
    ) -> Result<f64, MaskError> {
        let overlap = truth.overlap(prediction)?;
        let iou = overlap.iou();
        self.n += 1;
        self.total.intersection += overlap.intersection;
        self.total.union += overlap.union;
        self.mean_iou.add(image, iou);
        for (found, threshold) in self.found.iter_mut().zip(THRESHOLDS) {
            *found += u64::from(iou >= threshold);
        }
        if let Some([x, y, width, height]) = annotated_box {
            let predicted = predicted_box(prediction, self.protocol);
            let iou = predicted.map_or(0.0, |b| box_iou(b, [x, y, x + width, y + height]));
            self.boxes += 1;
            self.boxes_found += u64::from(iou > BOX_THRESHOLD);
        }
        Ok(iou)
    }

    /// The rules followed.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The numbers so far.
    pub fn report(&self) -> ReferringReport {
        let [p50, p60, p70, p80, p90] = self.found.map(|found| percent(found, self.n));
        ReferringReport {
            protocol: self.protocol,
            n: self.n,
            ciou: (self.n > 0).then(|| 100.0 * self.total.iou()),
            miou: self.mean_iou.value().map(|mean| 100.0 * mean),
            prec_50: p50,
            prec_60: p60,
            prec_70: p70,
            prec_80: p80,
            prec_90: p90,
            rec_prec_50: percent(self.boxes_found, self.boxes),
        }
    }
}

/// RES and REC in percent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReferringReport {
    /// The rules followed.
    pub protocol: Protocol,
    /// Expressions.
    pub n: u64,
    /// Sum of intersections / sum of unions; `None` without expressions.
    pub ciou: Option<f64>,
    /// Mean IoU; `None` without expressions. The published scripts call theirs gIoU.
    pub miou: Option<f64>,
    /// Expressions with IoU >= 0.5; `None` without expressions, as the next four.
    #[serde(rename = "prec@0.5")]
    pub prec_50: Option<f64>,
    /// Expressions with IoU >= 0.6.
    #[serde(rename = "prec@0.6")]
    pub prec_60: Option<f64>,
    /// Expressions with IoU >= 0.7.
    #[serde(rename = "prec@0.7")]
    pub prec_70: Option<f64>,
    /// Expressions with IoU >= 0.8.
    #[serde(rename = "prec@0.8")]
    pub prec_80: Option<f64>,
    /// Expressions with IoU >= 0.9.
    #[serde(rename = "prec@0.9")]
    pub prec_90: Option<f64>,
    /// Expressions whose mask's box has IoU > 0.5 with the annotation's box; `None` without boxes.
    #[serde(rename = "rec_prec@0.5")]
    pub rec_prec_50: Option<f64>,
}

/// The mask's box as corners `[x1, y1, x2, y2]`, or `None` for an empty mask.
fn predicted_box(mask: &Bitmap, protocol: Protocol) -> Option<[f64; 4]> {
    let [x1, y1, x2, y2] = mask.bounding_box()?.map(f64::from);
    Some(match protocol {
        Protocol::Standard => [x1, y1, x2, y2],
        Protocol::Released => [x1, y1, x2 - 1.0, y2 - 1.0],
    })
}

/// IoU of two boxes given by their corners; 0 when the union is empty, NaN or infinite.
fn box_iou(a: [f64; 4], b: [f64; 4]) -> f64 {
    let area = |[x1, y1, x2, y2]: [f64; 4]| (x2 - x1).max(0.0) * (y2 - y1).max(0.0);
    let shared = [a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])];
    let intersection = area(shared);
    let union = area(a) + area(b) - intersection;
    if union > 0.0 { intersection / union } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(bytes: &[u8]) -> Bitmap {
        Bitmap::from_bytes(1, bytes.len(), bytes).unwrap()
    }

    /// IoU 3/5 and 1/2 by hand, of two images; the boxes are [0, 3] and [1, 2] wide and 1 high.
    #[test]
    fn hand_computed() {
        let mut metrics = ReferringMetrics::new(Protocol::Standard);
        let truth = row(&[1, 1, 1, 1, 1]);
        metrics.add(0, &row(&[1, 1, 1, 0, 0]), &truth, Some([0.0, 0.0, 5.0, 1.0])).unwrap();
        metrics.add(1, &row(&[0, 1, 0]), &row(&[0, 1, 1]), Some([1.0, 0.0, 2.0, 1.0])).unwrap();
        let report = metrics.report();
        assert_eq!(report.n, 2);
        assert!((report.ciou.unwrap() - 400.0 / 7.0).abs() < 1e-12);
        assert!((report.miou.unwrap() - 55.0).abs() < 1e-12);
        assert_eq!(report.prec_50, Some(100.0));
        assert_eq!(report.prec_60, Some(50.0), "0.6 is at least 0.6");
        assert_eq!(report.prec_70, Some(0.0));
        assert_eq!(report.rec_prec_50, Some(50.0), "0.5 is not more than 0.5");
    }

    #[test]
    fn nothing_counted_gives_nulls_under_the_published_names() {
        let report = ReferringMetrics::new(Protocol::Released).report();
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(
            json,
            r#"{"protocol":"released","n":0,"ciou":null,"miou":null,"prec@0.5":null,"prec@0.6":null,"#
                .to_owned()
                + r#""prec@0.7":null,"prec@0.8":null,"prec@0.9":null,"rec_prec@0.5":null}"#
        );
    }

    #[test]
    fn an_empty_union_counts_as_zero() {
        let mut metrics = ReferringMetrics::new(Protocol::Standard);
        metrics.add(0, &row(&[0, 0]), &row(&[0, 0]), Some([0.0, 0.0, 1.0, 1.0])).unwrap();
        let report = metrics.report();
        let zero = Some(0.0);
        assert_eq!([report.ciou, report.miou, report.prec_50, report.rec_prec_50], [zero; 4]);
    }

    #[test]
    fn masks_of_other_sizes_are_not_counted() {
        let mut metrics = ReferringMetrics::new(Protocol::Standard);
        let found = metrics.add(0, &row(&[0, 0, 0]), &row(&[0, 0]), None);
        assert_eq!(found, Err(MaskError::SizeMismatch { expected: [1, 2], found: [1, 3] }));
        assert_eq!(metrics.report().n, 0);
    }

    #[test]
    fn invalid_boxes_are_not_found() {
        let good = [0.0, 0.0, 2.0, 2.0];
        for bad in [[f64::NAN; 4], [2.0, 2.0, 0.0, 0.0], [f64::INFINITY; 4], [0.0; 4]] {
            assert!(box_iou(good, bad) <= BOX_THRESHOLD);
        }
    }
}
