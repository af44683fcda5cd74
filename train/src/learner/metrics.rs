//! The numbers that are shown while a model learns, as burn-train's metrics.

use std::sync::Arc;

use burn::tensor::TensorReadError;
use burn::train::logger::MetricLogger;
use burn::train::metric::state::{FormatOptions, NumericMetricState};
use burn::train::metric::store::{EpochSummary, MetricsUpdate, Split};
use burn::train::metric::{
    Adaptor, Metric, MetricAttributes, MetricDefinition, MetricMetadata, MetricName, Numeric,
    NumericAttributes, NumericEntry, SerializedEntry,
};
use mllmseg_data::metrics::{GeneralizedMetrics, GeneralizedReport};

use super::trainee::{PassOutcome, StepNumbers, StepOutcome};

/// One of a step's numbers.
#[derive(Clone)]
pub struct StepMetric {
    name: MetricName,
    unit: Option<&'static str>,
    higher_is_better: bool,
    pick: fn(&StepNumbers) -> f64,
    state: NumericMetricState,
}

/// The metrics of a step, in the order in which they are shown. `pixel_term` names the loss beside
/// Dice.
pub fn step_metrics(pixel_term: &str) -> Vec<StepMetric> {
    let metric = |name: &str, unit, higher_is_better, pick| StepMetric {
        name: Arc::new(name.to_string()),
        unit,
        higher_is_better,
        pick,
        state: NumericMetricState::new(),
    };
    vec![
        metric("loss", None, false, |step| step.losses.total),
        metric("ce", None, false, |step| step.losses.ce),
        metric(pixel_term, None, false, |step| step.losses.pixel),
        metric("dice", None, false, |step| step.losses.dice),
        metric("IoU", None, true, |step| step.losses.iou),
        metric("learning rate", None, false, |step| step.learning_rate),
        metric("images/s", None, true, |step| step.images_per_second),
        metric("memory", Some("GB"), false, |step| step.memory as f64 / 1e9),
    ]
}

impl Metric for StepMetric {
    type Input = StepNumbers;

    fn name(&self) -> MetricName {
        self.name.clone()
    }

    fn attributes(&self) -> MetricAttributes {
        let unit = self.unit.map(String::from);
        NumericAttributes { unit, higher_is_better: self.higher_is_better }.into()
    }

    fn update(
        &mut self,
        numbers: &StepNumbers,
        _metadata: &MetricMetadata,
    ) -> Result<SerializedEntry, TensorReadError> {
        self.state.update((self.pick)(numbers), 1);
        Ok(self.state.compute_update(self.format()))
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        Ok(self.state.compute_final(self.format()))
    }

    fn clear(&mut self) {
        self.state.reset();
    }
}

impl StepMetric {
    fn format(&self) -> FormatOptions {
        let options = FormatOptions::new(self.name()).precision(4);
        match self.unit {
            Some(unit) => options.unit(unit),
            None => options,
        }
    }
}

impl Numeric for StepMetric {
    fn value(&self) -> Option<NumericEntry> {
        Some(self.state.current_value())
    }

    fn running_value(&self) -> Option<NumericEntry> {
        Some(self.state.running_value())
    }

    fn final_value(&self) -> NumericEntry {
        self.state.final_value()
    }
}

/// One of a validation's numbers, in percent. cIoU is no mean of passes: the sums are kept.
#[derive(Clone)]
pub struct ScoreMetric {
    name: MetricName,
    pick: fn(&GeneralizedReport) -> Option<f64>,
    sums: GeneralizedMetrics,
}

/// The metrics of a validation.
pub fn score_metrics() -> Vec<ScoreMetric> {
    let metric = |name: &str, pick| ScoreMetric {
        name: Arc::new(name.to_string()),
        pick,
        sums: GeneralizedMetrics::new(Default::default()),
    };
    vec![
        metric("cIoU", |report| report.ciou),
        metric("gIoU", |report| report.giou),
        metric("N-acc", |report| report.n_acc),
        metric("T-acc", |report| report.t_acc),
    ]
}

impl ScoreMetric {
    fn number(&self) -> f64 {
        (self.pick)(&self.sums.report()).unwrap_or(f64::NAN)
    }

    fn entry(&self, entry: NumericEntry) -> SerializedEntry {
        SerializedEntry::new(format!("{:.2} %", self.number()), entry.serialize())
    }
}

impl Metric for ScoreMetric {
    type Input = GeneralizedMetrics;

    fn name(&self) -> MetricName {
        self.name.clone()
    }

    fn attributes(&self) -> MetricAttributes {
        NumericAttributes { unit: Some("%".into()), higher_is_better: true }.into()
    }

    fn update(
        &mut self,
        sums: &GeneralizedMetrics,
        _metadata: &MetricMetadata,
    ) -> Result<SerializedEntry, TensorReadError> {
        // Both follow the standard protocol, so nothing can keep them apart.
        let merged = self.sums.merge(sums);
        debug_assert!(merged.is_ok());
        Ok(self.entry(NumericEntry::Value(self.number())))
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        Ok(self.entry(self.final_value()))
    }

    fn clear(&mut self) {
        self.sums = GeneralizedMetrics::new(Default::default());
    }
}

impl Numeric for ScoreMetric {
    fn value(&self) -> Option<NumericEntry> {
        Some(NumericEntry::Value(self.number()))
    }

    fn running_value(&self) -> Option<NumericEntry> {
        self.value()
    }

    fn final_value(&self) -> NumericEntry {
        NumericEntry::Final(self.number())
    }
}

/// Keeps nothing: the curves do.
pub struct NoLog;

impl MetricLogger for NoLog {
    fn log(&mut self, _update: MetricsUpdate, _epoch: usize, _split: &Split) {}

    fn read_numeric(
        &mut self,
        _name: &str,
        _epoch: usize,
        _split: &Split,
    ) -> Result<Vec<NumericEntry>, String> {
        Ok(Vec::new())
    }

    fn log_metric_definition(&mut self, _definition: MetricDefinition) {}

    fn log_epoch_summary(&mut self, _summary: EpochSummary) {}
}

impl Adaptor<StepNumbers> for StepOutcome {
    fn adapt(&self) -> StepNumbers {
        self.numbers
    }
}

impl Adaptor<GeneralizedMetrics> for PassOutcome {
    fn adapt(&self) -> GeneralizedMetrics {
        self.sums.clone()
    }
}
