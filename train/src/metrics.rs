//! The numbers of a training, shown by a renderer of burn-train.

use std::sync::Arc;

use burn::train::metric::state::{FormatOptions, NumericMetricState};
use burn::train::metric::{
    MetricDefinition, MetricEntry, MetricId, NumericAttributes, NumericEntry, SerializedEntry,
};
use burn::train::renderer::{MetricState, MetricsRenderer};
use mllmseg_data::metrics::GeneralizedReport;

use crate::loss::{LossValues, MaskLoss};

/// A step's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StepNumbers {
    /// Its number, from 0.
    pub step: usize,
    /// The losses.
    pub losses: LossValues,
    /// Norm of all gradients together, before clipping.
    pub gradient_norm: f64,
    /// Images in its batches.
    pub images: usize,
    /// Expressions in its batches.
    pub expressions: usize,
    /// Images in a second, from the batches to the update.
    pub images_per_second: f64,
    /// Memory of this process, in bytes; 0 where the system does not report it.
    pub memory: u64,
    /// The learning rate.
    pub learning_rate: f64,
}

/// Records the numbers of a training, each before the snapshot that follows it.
pub trait Recorder {
    /// Records a step.
    ///
    /// # Errors
    /// If it cannot be written; the training then stops.
    fn step(&mut self, numbers: &StepNumbers) -> Result<(), RecordError>;

    /// Records a validation after so many steps.
    ///
    /// # Errors
    /// If it cannot be written; the training then stops.
    fn validation(&mut self, step: usize, report: &GeneralizedReport) -> Result<(), RecordError>;
}

/// Why numbers cannot be recorded.
pub type RecordError = Box<dyn std::error::Error + Send + Sync>;

/// Sends numbers to a renderer: one epoch of all steps, with validations in between.
pub(crate) struct MetricsDisplay {
    renderer: Box<dyn MetricsRenderer>,
    steps: usize,
    step_metrics: Vec<StepMetric>,
    scores: Vec<(MetricId, Score)>,
}

struct StepMetric {
    id: MetricId,
    unit: Option<&'static str>,
    value: Number,
    mean: NumericMetricState,
}

/// One of a step's numbers.
type Number = fn(&StepNumbers) -> f64;
/// One of a validation's scores, in percent.
type Score = fn(&GeneralizedReport) -> Option<f64>;

impl MetricsDisplay {
    /// Of a training of so many steps.
    pub fn start(mut renderer: Box<dyn MetricsRenderer>, mask: MaskLoss, steps: usize) -> Self {
        let step_metrics: [(&str, Option<&'static str>, bool, Number); 8] = [
            ("loss", None, false, |step| step.losses.total),
            ("ce", None, false, |step| step.losses.ce),
            (mask.pixel_term(), None, false, |step| step.losses.pixel),
            ("dice", None, false, |step| step.losses.dice),
            ("IoU", None, true, |step| step.losses.iou),
            ("learning rate", None, false, |step| step.learning_rate),
            ("images/s", None, true, |step| step.images_per_second),
            ("memory", Some("GB"), false, |step| step.memory as f64 / 1e9),
        ];
        let scores: [(&str, Score); 4] = [
            ("cIoU", |report| report.ciou),
            ("gIoU", |report| report.giou),
            ("N-acc", |report| report.n_acc),
            ("T-acc", |report| report.t_acc),
        ];
        let mut register = |name: &str, unit: Option<&str>, higher_is_better| {
            let (name, unit) = (Arc::new(name.to_string()), unit.map(String::from));
            let metric_id = MetricId::new(name.clone());
            let attributes = NumericAttributes { unit, higher_is_better }.into();
            let id = metric_id.clone();
            let description = None;
            renderer.register_metric(MetricDefinition { metric_id, name, description, attributes });
            id
        };
        let step_metrics = step_metrics.map(|(name, unit, higher_is_better, value)| {
            let id = register(name, unit, higher_is_better);
            StepMetric { id, unit, value, mean: NumericMetricState::new() }
        });
        let scores = scores.map(|(name, score)| (register(name, Some("%"), true), score));
        renderer.start(1, 1, Some(steps), None);
        renderer.start_split("train", steps);
        let (step_metrics, scores) = (step_metrics.into(), scores.into());
        Self { renderer, steps, step_metrics, scores }
    }

    /// Shows a step that is done.
    pub fn step(&mut self, numbers: &StepNumbers) {
        for StepMetric { id, unit, value, mean } in &mut self.step_metrics {
            mean.update(value(numbers), 1);
            let format = FormatOptions::new(Arc::default()).precision(4);
            let format = unit.iter().fold(format, |format, unit| format.unit(unit));
            let entry = MetricEntry::new(id.clone(), mean.compute_update(format));
            let value = Some(mean.current_value());
            self.renderer.update_train(MetricState::Numeric(entry, value));
        }
        self.renderer.update_split(numbers.step + 1);
    }

    /// Shows that a validation of so many passes starts.
    pub fn start_validation(&mut self, passes: usize) {
        self.renderer.end_split();
        self.renderer.start_split("valid", passes);
    }

    /// Shows the scores of pass number `pass` and those before it.
    pub fn validation_pass(&mut self, pass: usize, report: &GeneralizedReport) {
        for (id, score) in &self.scores {
            let Some(value) = score(report) else { continue };
            let value = NumericEntry::Value(value);
            let text = format!("{:.2} %", value.current());
            let entry = SerializedEntry::new(text, value.serialize());
            let entry = MetricEntry::new(id.clone(), entry);
            self.renderer.update_valid(MetricState::Numeric(entry, Some(value)));
        }
        self.renderer.update_split(pass + 1);
    }

    /// Shows that the training resumes after a validation.
    pub fn end_validation(&mut self) {
        self.renderer.end_split();
        self.renderer.start_split("train", self.steps);
        self.step_metrics.iter_mut().for_each(|metric| metric.mean.reset());
    }

    /// Shows that the training has ended, and closes the display.
    pub fn end(mut self) {
        self.renderer.end_split();
        self.renderer.end();
        let _ = self.renderer.on_train_end(None); // cannot fail without a summary
    }
}
