//! Generalized referring expression segmentation: one target, several, or none.

use serde::{Deserialize, Serialize};

use super::mean::{MeanIou, percent};
use super::protocol::{Protocol, ProtocolMismatch};
use crate::mask::{Bitmap, MaskError, Overlap};

/// What the model says of one expression.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The predicted mask at the image's original size. Under [`Protocol::Standard`] it is not
    /// looked at when the expression is rejected.
    pub mask: &'a Bitmap,
    /// Whether the model answers `[REJ]`: that nothing in the image is meant.
    pub rejected: bool,
}

/// The sums behind a [`GeneralizedReport`].
#[derive(Debug, Clone)]
pub struct GeneralizedMetrics {
    protocol: Protocol,
    total: Overlap,
    mean_iou: MeanIou,
    without_target: Decisions,
    with_target: Decisions,
}

/// How often the `[REJ]` decision was right, of how many.
#[derive(Debug, Clone, Copy, Default)]
struct Decisions {
    n: u64,
    right: u64,
}

impl Decisions {
    fn add(&mut self, right: bool) {
        self.n += 1;
        self.right += u64::from(right);
    }

    fn merge(&mut self, other: Self) {
        self.n += other.n;
        self.right += other.right;
    }
}

impl GeneralizedMetrics {
    /// No expression yet.
    pub fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            total: Overlap::default(),
            mean_iou: MeanIou::new(protocol),
            without_target: Decisions::default(),
            with_target: Decisions::default(),
        }
    }

    /// Counts one expression, and returns its IoU as it goes into the mean; `truth` is `None` when it
    /// has no target.
    ///
    /// `image` tells the images apart (any number will do). By case, with the IoU that goes into
    /// gIoU:
    ///
    /// | target | rejected | IoU | cIoU |
    /// | --- | --- | --- | --- |
    /// | no | yes | 1 | - |
    /// | no | no | 0 | predicted pixels to the union |
    /// | yes | no | of the masks | intersection and union |
    /// | yes | yes | standard: 0; released: of the masks | as if empty; released: as predicted |
    ///
    /// # Errors
    /// [`MaskError::SizeMismatch`] when the masks differ in size; nothing is counted then.
    pub fn add(
        &mut self,
        image: u64,
        answer: Answer,
        truth: Option<&Bitmap>,
    ) -> Result<f64, MaskError> {
        // ANCHOR: gres
        let (overlap, iou) = match truth {
            None if answer.rejected => (Overlap::default(), 1.0),
            None => (Overlap { intersection: 0, union: answer.mask.area() }, 0.0),
            Some(truth) if answer.rejected && self.protocol == Protocol::Standard => {
                (Overlap { intersection: 0, union: truth.area() }, 0.0)
            }
            Some(truth) => {
                let overlap = truth.overlap(answer.mask)?;
                (overlap, overlap.iou())
            }
        };
        // ANCHOR_END: gres
        self.total.intersection += overlap.intersection;
        self.total.union += overlap.union;
        self.mean_iou.add(image, iou);
        match truth {
            None => self.without_target.add(answer.rejected),
            Some(_) => self.with_target.add(!answer.rejected),
        }
        Ok(iou)
    }

    /// Adds another part of the same split.
    ///
    /// # Errors
    /// [`ProtocolMismatch`] unless both parts follow one protocol.
    pub fn merge(&mut self, other: &Self) -> Result<(), ProtocolMismatch> {
        let (expected, found) = (self.protocol, other.protocol);
        if expected != found {
            return Err(ProtocolMismatch { expected, found });
        }
        self.total.intersection += other.total.intersection;
        self.total.union += other.total.union;
        self.mean_iou.merge(&other.mean_iou);
        self.without_target.merge(other.without_target);
        self.with_target.merge(other.with_target);
        Ok(())
    }

    /// The numbers so far.
    pub fn report(&self) -> GeneralizedReport {
        let n = self.without_target.n + self.with_target.n;
        GeneralizedReport {
            protocol: self.protocol,
            n,
            giou: self.mean_iou.value().map(|mean| 100.0 * mean),
            ciou: (n > 0).then(|| 100.0 * self.total.iou()),
            n_acc: percent(self.without_target.right, self.without_target.n),
            t_acc: percent(self.with_target.right, self.with_target.n),
        }
    }
}

/// GRES in percent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GeneralizedReport {
    /// The rules followed.
    pub protocol: Protocol,
    /// Expressions.
    pub n: u64,
    /// Mean IoU with rejections counted as in [`GeneralizedMetrics::add`]; `None` without
    /// expressions.
    pub giou: Option<f64>,
    /// Sum of intersections / sum of unions; `None` without expressions, 0 when all unions are
    /// empty.
    pub ciou: Option<f64>,
    /// Expressions without a target that are rejected, of all those; `None` when there are none.
    pub n_acc: Option<f64>,
    /// Expressions with a target that are not rejected, of all those; `None` when there are none.
    pub t_acc: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(bytes: &[u8]) -> Bitmap {
        Bitmap::from_bytes(1, bytes.len(), bytes).unwrap()
    }

    /// The four cases of the table by hand, all of one image but the last.
    fn four_cases(protocol: Protocol) -> GeneralizedReport {
        let (truth, half) = (row(&[1, 1, 0, 0]), row(&[0, 1, 0, 0]));
        let mut metrics = GeneralizedMetrics::new(protocol);
        metrics.add(0, Answer { mask: &half, rejected: true }, None).unwrap();
        metrics.add(0, Answer { mask: &half, rejected: false }, None).unwrap();
        metrics.add(0, Answer { mask: &half, rejected: false }, Some(&truth)).unwrap();
        metrics.add(1, Answer { mask: &half, rejected: true }, Some(&truth)).unwrap();
        metrics.report()
    }

    #[test]
    fn hand_computed() {
        let standard = four_cases(Protocol::Standard);
        assert_eq!(standard.n, 4);
        assert_eq!(standard.giou, Some(37.5), "(1 + 0 + 1/2 + 0) / 4");
        assert_eq!(standard.ciou, Some(20.0), "1 / (1 + 2 + 2)");
        assert_eq!([standard.n_acc, standard.t_acc], [Some(50.0); 2]);
        let released = four_cases(Protocol::Released);
        assert_eq!(released.giou, Some(50.0), "((1 + 0 + 1/2) / 3 + 1/2) / 2");
        assert_eq!(released.ciou, Some(40.0), "(1 + 1) / (1 + 2 + 2)");
        assert_eq!([released.n_acc, released.t_acc], [Some(50.0); 2]);
    }

    #[test]
    fn protocols_do_not_mix() {
        let mut metrics = GeneralizedMetrics::new(Protocol::Standard);
        assert!(metrics.merge(&GeneralizedMetrics::new(Protocol::Released)).is_err());
    }

    #[test]
    fn accuracies_without_a_sample_are_null() {
        let mask = row(&[1, 0]);
        let mut metrics = GeneralizedMetrics::new(Protocol::Standard);
        metrics.add(7, Answer { mask: &mask, rejected: false }, Some(&mask)).unwrap();
        assert_eq!(
            serde_json::to_string(&metrics.report()).unwrap(),
            r#"{"protocol":"standard","n":1,"giou":100.0,"ciou":100.0,"n_acc":null,"t_acc":100.0}"#
        );
    }
}
