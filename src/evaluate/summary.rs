//! The numbers with their label, and how each expression went.

use mllmseg_data::refer::{Contradictions, Dataset};
use serde::Serialize;

use super::judge::Numbers;
use super::{Outcome, Scores, Selection};

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
    /// Image files that were missing and skipped, when that was asked for.
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

/// Sums in the making.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) scores: Scores,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) unasked: usize,
}

impl Tally {
    pub(super) fn new(selection: &Selection) -> Self {
        Self { scores: selection.empty_scores(), outcomes: Vec::new(), unasked: 0 }
    }

    pub(super) fn add(&mut self, (scores, outcome): (Scores, Outcome)) {
        self.scores.merge(&scores);
        self.outcomes.push(outcome);
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
