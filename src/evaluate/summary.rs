//! The numbers with their label, and the result of each expression.

use mllmseg_data::mask::Bitmap;
use mllmseg_data::metrics::Answer;
use mllmseg_data::refer::{Contradictions, Dataset, ReferError};
use serde::Serialize;

use super::scores::Scores;
use super::{EvalError, GroundTruth, Numbers, Outcome, Place, Prediction, Selection};

/// What `--json` prints. Protocol and numbers stand beside these fields.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The data set.
    pub dataset: String,
    /// Its part.
    pub split: String,
    /// Whose split.
    pub split_by: String,
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

/// The results of a run so far.
#[derive(Debug)]
pub(super) struct Results {
    pub(super) scores: Scores,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) unasked: usize,
}

impl Results {
    pub(super) fn new(selection: &Selection) -> Self {
        let benchmark = selection.benchmark();
        let scores = Scores::new(benchmark.generalized(), benchmark.options().protocol);
        Self { scores, outcomes: Vec::new(), unasked: 0 }
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
        let iou = self.scores.add(image_id as u64, answer, truth).map_err(|source| {
            let annotation = format!("of ref_id {}, sent_id {}", entry.ref_id, entry.sent_id);
            ReferError::Annotation { annotation, image_id, source }
        })?;
        self.outcomes.push(Outcome { place, iou, rejected, no_target: truth.mask.is_none() });
        self.unasked += usize::from(entry.unasked);
        Ok(())
    }

    pub(super) fn finish(self, selection: &Selection) -> Evaluation {
        let mut outcomes = self.outcomes;
        outcomes.sort_unstable_by_key(|outcome| outcome.place);
        let benchmark = selection.benchmark();
        let options = benchmark.options();
        let summary = Summary {
            dataset: options.dataset.to_string(),
            split: options.split.to_string(),
            split_by: options.split_by().to_owned(),
            scored_as: benchmark.scored_as().map(Dataset::name),
            numbers: self.scores.numbers(),
            missing_images: selection.missing_images().len(),
            missing_predictions: selection.len() - outcomes.len(),
            unasked: self.unasked,
            skipped_refs: match options.contradictions {
                Contradictions::Refuse => 0,
                Contradictions::Skip => benchmark.skipped().refs,
            },
        };
        Evaluation { summary, outcomes }
    }
}
