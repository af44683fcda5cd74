//! The steps of a check and their verdicts.

use std::fmt::{self, Display};

use serde::Serialize;

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it must be.
    Ok,
    /// Usable, but something should be known.
    Warning,
    /// Not as it must be.
    Failed,
    /// Not tried: it needs a step that failed.
    Skipped,
}

impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        })
    }
}

/// One step.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// A part of the checkpoint, or a stage of the computation.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// The largest absolute difference from the reference; infinite, in JSON null, where shapes differ.
    pub difference: Option<f64>,
    /// The largest difference that passes.
    pub tolerance: Option<f64>,
    /// The largest absolute value, for scale.
    pub largest: Option<f64>,
    /// What was found.
    pub detail: String,
}

/// All steps, in their order.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The steps.
    pub steps: Vec<Step>,
}

impl Report {
    /// Whether no step failed.
    pub fn passes(&self) -> bool {
        self.steps.iter().all(|step| step.verdict != Verdict::Failed)
    }

    /// A step without numbers.
    pub(super) fn add(&mut self, name: &str, verdict: Verdict, detail: impl Display) {
        let (name, detail) = (name.to_string(), detail.to_string());
        let (difference, tolerance, largest) = (None, None, None);
        self.steps.push(Step { name, verdict, difference, tolerance, largest, detail });
    }

    /// The value, or a failed step.
    pub(super) fn need<T, E: Display>(&mut self, name: &str, found: Result<T, E>) -> Option<T> {
        found.map_err(|error| self.add(name, Verdict::Failed, error)).ok()
    }
}
