//! One answer against its truth, and the sums over all.

use mllmseg_data::mask::{Bitmap, MaskError};
use mllmseg_data::metrics::{
    Answer, GeneralizedMetrics, GeneralizedReport, Protocol, ReferringMetrics, ReferringReport,
};
use serde::Serialize;

use super::{EvalError, Place, Selection, Truth};

/// The sums of a benchmark.
#[derive(Debug, Clone)]
pub enum Scores {
    /// RefCOCO, RefCOCO+, RefCOCOg, RefCLEF, and own data of which every expression has a target.
    Referring(ReferringMetrics),
    /// gRefCOCO, and own data of which an expression has none.
    Generalized(GeneralizedMetrics),
}

/// The numbers of a benchmark, in percent.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Numbers {
    /// RefCOCO, RefCOCO+, RefCOCOg, RefCLEF, and own data of which every expression has a target.
    Referring(ReferringReport),
    /// gRefCOCO, and own data of which an expression has none.
    Generalized(GeneralizedReport),
}

/// How one expression went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Which expression.
    pub place: Place,
    /// Intersection over union as it goes into the mean, 0 to 1.
    pub iou: f64,
    /// Whether the model says that there is no target.
    pub rejected: bool,
    /// Whether there is none.
    pub no_target: bool,
}

impl Scores {
    /// No expression yet.
    pub fn new(generalized: bool, protocol: Protocol) -> Self {
        match generalized {
            true => Self::Generalized(GeneralizedMetrics::new(protocol)),
            false => Self::Referring(ReferringMetrics::new(protocol)),
        }
    }

    /// Adds another part of the same benchmark.
    pub fn merge(&mut self, other: &Self) {
        // Both were made by `new` for one benchmark, so neither kind nor protocol can differ.
        let merged = match (self, other) {
            (Self::Referring(sums), Self::Referring(more)) => sums.merge(more),
            (Self::Generalized(sums), Self::Generalized(more)) => sums.merge(more),
            _ => Ok(()),
        };
        debug_assert!(merged.is_ok());
    }

    /// The numbers so far.
    pub fn numbers(&self) -> Numbers {
        match self {
            Self::Referring(sums) => Numbers::Referring(sums.report()),
            Self::Generalized(sums) => Numbers::Generalized(sums.report()),
        }
    }

    /// cIoU so far, in percent.
    pub fn ciou(&self) -> Option<f64> {
        self.numbers().get("ciou")
    }
}

impl Numbers {
    /// Expressions counted.
    pub fn n(&self) -> u64 {
        match self {
            Self::Referring(report) => report.n,
            Self::Generalized(report) => report.n,
        }
    }

    /// Each number with its key in JSON; `None` without a sample to it.
    pub fn all(&self) -> Vec<(&'static str, Option<f64>)> {
        match self {
            Self::Referring(report) => vec![
                ("ciou", report.ciou),
                ("miou", report.miou),
                ("prec@0.5", report.prec_50),
                ("prec@0.6", report.prec_60),
                ("prec@0.7", report.prec_70),
                ("prec@0.8", report.prec_80),
                ("prec@0.9", report.prec_90),
                ("rec_prec@0.5", report.rec_prec_50),
            ],
            Self::Generalized(report) => vec![
                ("giou", report.giou),
                ("ciou", report.ciou),
                ("n_acc", report.n_acc),
                ("t_acc", report.t_acc),
            ],
        }
    }

    /// One number by its key.
    pub fn get(&self, key: &str) -> Option<f64> {
        let (_, value) = self.all().into_iter().find(|(name, _)| *name == key)?;
        value
    }
}

impl Selection<'_> {
    /// Scores one answer on its own. `mask` has been checked to have the image's size.
    ///
    /// # Errors
    /// As [`Selection::truth`].
    pub(super) fn judge(
        &self,
        place: Place,
        mask: &Bitmap,
        rejected: bool,
    ) -> Result<(Scores, Outcome), EvalError> {
        let (item, expression) = self.expression(place);
        let truth = self.truth(item, &expression)?;
        let mut scores = self.empty_scores();
        let image = item.image.id as u64; // any number that tells images apart
        let wrong_size = |source| EvalError::Annotation {
            annotation: format!("of ref_id {}, sent_id {}", expression.ref_id, expression.sent_id),
            image_id: item.image.id,
            source,
        };
        let protocol = self.benchmark().options().protocol;
        let scored = match &mut scores {
            Scores::Referring(sums) => {
                judge_referring(sums, protocol, image, mask, rejected, &truth)
            }
            Scores::Generalized(sums) => {
                let answer = Answer { mask, rejected };
                let added = sums.add(image, answer, truth.mask.as_ref());
                added.map(|()| sums.report().giou)
            }
        };
        let percent = scored.map_err(wrong_size)?;
        let outcome = Outcome {
            place,
            iou: percent.unwrap_or(0.0) / 100.0,
            rejected,
            no_target: truth.mask.is_none(),
        };
        Ok((scores, outcome))
    }

    /// Sums for this benchmark, still zero.
    pub(super) fn empty_scores(&self) -> Scores {
        let benchmark = self.benchmark();
        Scores::new(benchmark.generalized(), benchmark.options().protocol)
    }
}

/// Adds one answer where every expression has a target: by the standard protocol a rejected one is
/// an empty mask. Returns the mean IoU, which is this answer's in fresh sums.
fn judge_referring(
    sums: &mut ReferringMetrics,
    protocol: Protocol,
    image: u64,
    mask: &Bitmap,
    rejected: bool,
    truth: &Truth,
) -> Result<Option<f64>, MaskError> {
    let empty = Bitmap::new(mask.height(), mask.width())?;
    let prediction = if rejected && protocol == Protocol::Standard { &empty } else { mask };
    let target = truth.mask.as_ref().unwrap_or(&empty);
    sums.add(image, prediction, target, truth.annotated_box)?;
    Ok(sums.report().miou)
}
