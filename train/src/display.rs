//! What shows a training while it runs, and the numbers that are shown.

use mllmseg_data::metrics::GeneralizedReport;

use crate::loss::MaskLoss;
use crate::metrics::StepNumbers;

/// Shows the numbers of a training, a step and a validation at a time.
pub trait Display {
    /// Shows that a training of so many steps in all starts.
    fn start(&mut self, mask: MaskLoss, steps: usize);

    /// Shows a step that is done.
    fn step(&mut self, numbers: &StepNumbers);

    /// Shows that a validation of so many passes starts.
    fn start_validation(&mut self, passes: usize);

    /// Shows the scores of pass number `pass` and those before it.
    fn validation_pass(&mut self, pass: usize, report: &GeneralizedReport);

    /// Shows that the training resumes after a validation.
    fn end_validation(&mut self);

    /// Shows that the training has ended, and closes the display.
    fn end(&mut self);

    /// Whether the user has asked it for an end.
    fn asks_to_stop(&self) -> bool {
        false
    }
}

/// One of a step's numbers.
pub struct StepMetric {
    /// As it is shown.
    pub name: &'static str,
    /// Its unit, if it has one.
    pub unit: Option<&'static str>,
    /// Whether a larger one is better.
    pub higher_is_better: bool,
    /// The number.
    pub value: fn(&StepNumbers) -> f64,
}

/// A step's numbers in the order in which they are shown.
pub fn step_metrics(mask: MaskLoss) -> [StepMetric; 8] {
    type Value = fn(&StepNumbers) -> f64;
    let metrics: [(&str, Option<&str>, bool, Value); 8] = [
        ("loss", None, false, |step| step.losses.total),
        ("ce", None, false, |step| step.losses.ce),
        (mask.pixel_term(), None, false, |step| step.losses.pixel),
        ("dice", None, false, |step| step.losses.dice),
        ("IoU", None, true, |step| step.losses.iou),
        ("learning rate", None, false, |step| step.learning_rate),
        ("images/s", None, true, |step| step.images_per_second),
        ("memory", Some("GB"), false, |step| step.memory as f64 / 1e9),
    ];
    metrics.map(|(name, unit, higher_is_better, value)| StepMetric {
        name,
        unit,
        higher_is_better,
        value,
    })
}

/// One of a validation's scores: its name, and its value in percent.
pub type Score = (&'static str, fn(&GeneralizedReport) -> Option<f64>);

/// A validation's scores in the order in which they are shown.
pub const SCORES: [Score; 4] = [
    ("cIoU", |report| report.ciou),
    ("gIoU", |report| report.giou),
    ("N-acc", |report| report.n_acc),
    ("T-acc", |report| report.t_acc),
];
