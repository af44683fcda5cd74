//! Plain lines with the time that is left, where there is no terminal to draw on.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use burn::train::logger::{EvaluationProgressLogger, TrainingProgressLogger};
use burn::train::metric::{MetricDefinition, MetricId, NumericEntry};
use burn::train::renderer::{
    EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation,
    MetricsRendererTraining,
};

/// The least time between two lines about steps.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Writes to standard error.
#[derive(Debug)]
pub struct Lines {
    first: usize,
    steps: usize,
    done: usize,
    in_split: usize,
    validating: bool,
    started: Instant,
    last_line: Option<Instant>,
    names: HashMap<MetricId, String>,
    /// Name and value, in the order in which they came.
    values: Vec<(String, f64)>,
}

impl Lines {
    /// For a run that goes from step `first` to step `steps`.
    pub fn new(first: usize, steps: usize) -> Self {
        Self {
            first,
            steps,
            done: first,
            in_split: 0,
            validating: false,
            started: Instant::now(),
            last_line: None,
            names: HashMap::new(),
            values: Vec::new(),
        }
    }

    fn note(&mut self, state: MetricState) {
        let MetricState::Numeric(entry, Some(number)) = state else {
            return;
        };
        let value = match number {
            NumericEntry::Value(value) | NumericEntry::Final(value) => value,
            NumericEntry::Aggregated { aggregated_value, .. } => aggregated_value,
        };
        let Some(name) = self.names.get(&entry.metric_id) else {
            return;
        };
        match self.values.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.values.push((name.clone(), value)),
        }
    }

    fn print(&mut self) {
        let mut line = format!("step {}/{}", self.done, self.steps);
        for (name, value) in self.values.drain(..) {
            // Writing to a string cannot fail.
            let _ = write!(line, "  {name} {}", short(value));
        }
        let here = self.done - self.first.min(self.done);
        if !self.validating && here > 0 {
            let left = self.steps.saturating_sub(self.done) as f64 / here as f64;
            let _ = write!(line, "  {} left", clock(self.started.elapsed().mul_f64(left)));
        }
        eprintln!("{line}");
        self.last_line = Some(Instant::now());
    }
}

/// Four digits that tell something.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if size < 0.01 => format!("{value:.2e}"),
        size if size < 10.0 => format!("{value:.4}"),
        _ => format!("{value:.1}"),
    }
}

fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

impl MetricsRendererTraining for Lines {
    fn update_train(&mut self, state: MetricState) {
        self.note(state);
    }

    fn update_valid(&mut self, state: MetricState) {
        self.note(state);
    }
}

impl TrainingProgressLogger for Lines {
    fn start(&mut self, _: usize, _: usize, _: Option<usize>, _: Option<&str>) {
        self.started = Instant::now();
    }

    fn update_epoch(&mut self, _epoch: usize) {}

    fn start_split(&mut self, split: &str, _total_items: usize) {
        self.validating = split != "train";
        self.in_split = 0;
        self.values.clear();
    }

    fn update_split(&mut self, items_processed: usize) {
        if self.validating {
            return;
        }
        self.done += items_processed.saturating_sub(self.in_split);
        self.in_split = items_processed;
        let quiet = self.last_line.is_some_and(|last| last.elapsed() < LINE_EVERY);
        if !quiet || self.done == self.steps {
            self.print();
        }
    }

    fn end_split(&mut self) {
        if self.validating && !self.values.is_empty() {
            eprint!("validation: ");
            self.print();
        }
        self.validating = false;
    }

    fn end(&mut self) {}

    /// burn-train says "Iteration" here after every step.
    fn log_event_training(&mut self, _event: String) {}
}

impl MetricsRenderer for Lines {
    fn manual_close(&mut self) {}

    fn register_metric(&mut self, definition: MetricDefinition) {
        self.names.insert(definition.metric_id, definition.name.to_string());
    }
}

// Evaluations have a command of their own.
impl MetricsRendererEvaluation for Lines {
    fn update_test(&mut self, _name: EvaluationName, _state: MetricState) {}
}

impl EvaluationProgressLogger for Lines {
    fn start_global_progress(&mut self, _total_tests: usize) {}

    fn start_test(&mut self, _name: &str, _total_items: usize) {}

    fn update_test_progress(&mut self, _items_processed: usize) {}

    fn end_test(&mut self) {}

    fn end_global_progress(&mut self) {}

    fn log_event_evaluation(&mut self, _event: String) {}
}
