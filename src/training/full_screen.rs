//! The full-screen display of burn-train: one epoch of all steps, with validations in between.

use std::sync::Arc;

use burn::train::Interrupter;
use burn::train::metric::state::{FormatOptions, NumericMetricState};
use burn::train::metric::{
    MetricDefinition, MetricEntry, MetricId, NumericAttributes, NumericEntry, SerializedEntry,
};
use burn::train::renderer::{MetricState, MetricsRenderer, default_renderer};
use mllmseg_data::metrics::GeneralizedReport;
use mllmseg_train::MaskLoss;
use mllmseg_train::display::{Display, SCORES, StepMetric, step_metrics};
use mllmseg_train::metrics::StepNumbers;

/// Draws numbers and their curves on the whole terminal; its `q` asks for an end.
pub struct FullScreen {
    renderer: Box<dyn MetricsRenderer>,
    interrupter: Interrupter,
    steps: usize,
    /// A step's numbers, each with its mean since the last validation.
    means: Vec<(StepMetric, NumericMetricState)>,
}

impl FullScreen {
    /// Opens the display.
    pub fn new() -> Self {
        let interrupter = Interrupter::new();
        let renderer = default_renderer(interrupter.clone(), None);
        Self { renderer, interrupter, steps: 0, means: Vec::new() }
    }

    fn register(&mut self, name: &str, unit: Option<&str>, higher_is_better: bool) {
        let (name, unit) = (Arc::new(name.to_string()), unit.map(String::from));
        let metric_id = MetricId::new(name.clone());
        let attributes = NumericAttributes { unit, higher_is_better }.into();
        let description = None;
        let definition = MetricDefinition { metric_id, name, description, attributes };
        self.renderer.register_metric(definition);
    }
}

impl Default for FullScreen {
    fn default() -> Self {
        Self::new()
    }
}

impl Display for FullScreen {
    fn start(&mut self, mask: MaskLoss, steps: usize) {
        for metric in step_metrics(mask) {
            self.register(metric.name, metric.unit, metric.higher_is_better);
            self.means.push((metric, NumericMetricState::new()));
        }
        SCORES.iter().for_each(|(name, _)| self.register(name, Some("%"), true));
        self.steps = steps;
        self.renderer.start(1, 1, Some(steps), None);
        self.renderer.start_split("train", steps);
    }

    fn step(&mut self, numbers: &StepNumbers) {
        for (metric, mean) in &mut self.means {
            mean.update((metric.value)(numbers), 1);
            let format = FormatOptions::new(Arc::default()).precision(4);
            let format = metric.unit.iter().fold(format, |format, unit| format.unit(unit));
            let entry = MetricEntry::new(id(metric.name), mean.compute_update(format));
            let value = Some(mean.current_value());
            self.renderer.update_train(MetricState::Numeric(entry, value));
        }
        self.renderer.update_split(numbers.step + 1);
    }

    fn start_validation(&mut self, passes: usize) {
        self.renderer.end_split();
        self.renderer.start_split("valid", passes);
    }

    fn validation_pass(&mut self, pass: usize, report: &GeneralizedReport) {
        for (name, score) in SCORES {
            let Some(value) = score(report) else { continue };
            let value = NumericEntry::Value(value);
            let text = format!("{:.2} %", value.current());
            let entry = MetricEntry::new(id(name), SerializedEntry::new(text, value.serialize()));
            self.renderer.update_valid(MetricState::Numeric(entry, Some(value)));
        }
        self.renderer.update_split(pass + 1);
    }

    fn end_validation(&mut self) {
        self.renderer.end_split();
        self.renderer.start_split("train", self.steps);
        self.means.iter_mut().for_each(|(_, mean)| mean.reset());
    }

    fn end(&mut self) {
        self.renderer.end_split();
        self.renderer.end();
        let _ = self.renderer.on_train_end(None); // cannot fail without a summary
    }

    fn asks_to_stop(&self) -> bool {
        self.interrupter.should_stop()
    }
}

fn id(name: &str) -> MetricId {
    MetricId::new(Arc::new(name.to_string()))
}
