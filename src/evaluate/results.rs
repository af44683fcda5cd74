//! The sums over all answers, their numbers with a label, and the result of each expression.

use mllmseg_data::mask::{Bitmap, MaskError};
use mllmseg_data::metrics::{
    Answer, GeneralizedMetrics, GeneralizedReport, Protocol, ReferringMetrics, ReferringReport,
};
use mllmseg_data::refer::{Dataset, ReferError};
use serde::Serialize;

use super::{EvalError, GroundTruth, Place, Prediction, Selection, Shard};

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

/// What `--json` prints. Protocol and numbers stand beside these fields.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The data set.
    pub dataset: String,
    /// Its part.
    pub split: String,
    /// Whose split.
    pub split_by: String,
    /// Which part of the split, where it is divided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// Of own data, whose metrics these are: `grefcoco` if an expression of the split has no target,
    /// else `refcoco`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scored_as: Option<&'static str>,
    /// In percent, with `protocol` and `n`.
    #[serde(flatten)]
    pub numbers: Numbers,
    /// Missing image files that were skipped, when that was asked for.
    pub missing_images: usize,
    /// Expressions without a prediction, when that was allowed.
    pub missing_predictions: usize,
    /// Expressions that no model can be asked (no words, or a reserved token) and that count with
    /// an empty mask.
    pub unasked: usize,
    /// Expressions with targets whose annotated masks have no pixel.
    pub empty_truths: usize,
    /// Refs left out because they contradict `instances.json`, when that was asked for.
    pub skipped_refs: usize,
}

/// A finished evaluation.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The numbers.
    pub summary: Summary,
    /// Every expression scored, in the order of the data set.
    pub outcomes: Vec<Outcome>,
}

/// The sums of a benchmark, as [`Numbers`].
enum Sums {
    Referring(ReferringMetrics),
    Generalized(GeneralizedMetrics),
}

impl Sums {
    /// Adds one answer and returns its IoU, 0 to 1, as it goes into the mean. Where every expression
    /// has a target, a rejected one is an empty mask by the standard protocol.
    fn add(&mut self, image: u64, answer: Answer, truth: &GroundTruth) -> Result<f64, MaskError> {
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
}

/// The results of a run so far.
pub(super) struct Results {
    sums: Sums,
    pub(super) outcomes: Vec<Outcome>,
    unasked: usize,
    empty_truths: usize,
}

impl Results {
    pub(super) fn new(selection: &Selection) -> Self {
        let benchmark = selection.benchmark;
        let protocol = benchmark.options.protocol;
        let sums = match benchmark.generalized {
            true => Sums::Generalized(GeneralizedMetrics::new(protocol)),
            false => Sums::Referring(ReferringMetrics::new(protocol)),
        };
        Self { sums, outcomes: Vec::new(), unasked: 0, empty_truths: 0 }
    }

    /// The numbers so far.
    pub(super) fn numbers(&self) -> Numbers {
        match &self.sums {
            Sums::Referring(sums) => Numbers::Referring(sums.report()),
            Sums::Generalized(sums) => Numbers::Generalized(sums.report()),
        }
    }

    /// Compares an answer with its annotation. `mask` is the entry's, of the image's size.
    pub(super) fn add(
        &mut self,
        selection: &Selection,
        place: Place,
        entry: &Prediction,
        mask: &Bitmap,
        truth: &GroundTruth,
    ) -> Result<(), EvalError> {
        let image_id = selection.expression(place).0.image.id;
        let rejected = entry.rejected;
        let answer = Answer { mask, rejected };
        // Any number that tells images apart will do.
        let iou = self.sums.add(image_id as u64, answer, truth).map_err(|source| {
            let annotation = format!("of ref_id {}, sent_id {}", entry.ref_id, entry.sent_id);
            ReferError::Annotation { annotation, image_id, source }
        })?;
        self.outcomes.push(Outcome { place, iou, rejected, no_target: truth.mask.is_none() });
        self.unasked += usize::from(entry.unasked);
        self.empty_truths += usize::from(truth.mask.as_ref().is_some_and(Bitmap::is_empty));
        Ok(())
    }

    pub(super) fn finish(self, selection: &Selection) -> Evaluation {
        let (numbers, mut outcomes) = (self.numbers(), self.outcomes);
        outcomes.sort_unstable_by_key(|outcome| outcome.place);
        let benchmark = selection.benchmark;
        let options = &benchmark.options;
        let summary = Summary {
            dataset: options.dataset.to_string(),
            split: options.split.to_string(),
            split_by: options.split_by().to_owned(),
            shard: selection.shard,
            scored_as: benchmark.scored_as().map(Dataset::name),
            numbers,
            missing_images: selection.missing_images.len(),
            missing_predictions: selection.expression_count() - outcomes.len(),
            unasked: self.unasked,
            empty_truths: self.empty_truths,
            skipped_refs: benchmark.data.skipped().refs,
        };
        Evaluation { summary, outcomes }
    }
}
