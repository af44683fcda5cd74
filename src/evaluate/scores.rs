//! The sums over all answers, and their numbers.

use mllmseg_data::mask::{Bitmap, MaskError};
use mllmseg_data::metrics::{
    Answer, GeneralizedMetrics, GeneralizedReport, Protocol, ReferringMetrics, ReferringReport,
};
use serde::Serialize;

use super::{GroundTruth, Place};

/// The sums of a benchmark, as [`Numbers`].
#[derive(Debug)]
pub(super) enum Scores {
    Referring(ReferringMetrics),
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

/// The result of one expression.
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
    /// Sums that are still zero.
    pub(super) fn new(generalized: bool, protocol: Protocol) -> Self {
        match generalized {
            true => Self::Generalized(GeneralizedMetrics::new(protocol)),
            false => Self::Referring(ReferringMetrics::new(protocol)),
        }
    }

    /// Adds one answer and returns its IoU, 0 to 1, as it goes into the mean. Where every expression
    /// has a target, a rejected one is an empty mask by the standard protocol.
    pub(super) fn add(
        &mut self,
        image: u64,
        answer: Answer,
        truth: &GroundTruth,
    ) -> Result<f64, MaskError> {
        match self {
            Self::Referring(sums) => {
                let empty = Bitmap::new(answer.mask.height(), answer.mask.width())?;
                let rejected = answer.rejected && sums.protocol() == Protocol::Standard;
                let prediction = if rejected { &empty } else { answer.mask };
                let target = truth.mask.as_ref().unwrap_or(&empty);
                sums.add(image, prediction, target, truth.annotated_box)
            }
            Self::Generalized(sums) => sums.add(image, answer, truth.mask.as_ref()),
        }
    }

    /// The numbers so far.
    pub(super) fn numbers(&self) -> Numbers {
        match self {
            Self::Referring(sums) => Numbers::Referring(sums.report()),
            Self::Generalized(sums) => Numbers::Generalized(sums.report()),
        }
    }

    /// cIoU so far, in percent.
    pub(super) fn ciou(&self) -> Option<f64> {
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
