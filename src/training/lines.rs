//! Plain lines with the time that is left, where there is no terminal to draw on.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{Write as _, stderr};
use std::ops::Range;
use std::time::{Duration, Instant};

use burn::train::logger::{EvaluationProgressLogger, TrainingProgressLogger};
use burn::train::metric::{MetricDefinition, MetricId};
use burn::train::renderer::{
    EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation,
    MetricsRendererTraining,
};

/// The least time between two lines about steps.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// A renderer that writes lines to standard error.
#[derive(Debug)]
pub struct Lines {
    /// The steps that this process takes.
    steps: Range<usize>,
    done: usize,
    validating: bool,
    started: Instant,
    last_line: Option<Instant>,
    names: HashMap<MetricId, String>,
    /// Name and value, in the order in which they came.
    values: Vec<(String, f64)>,
    quiet: bool,
}

impl Lines {
    /// For the steps that are still to be taken; `quiet` writes none.
    pub fn new(steps: Range<usize>, quiet: bool) -> Self {
        Self {
            done: steps.start,
            steps,
            validating: false,
            started: Instant::now(),
            last_line: None,
            names: HashMap::new(),
            values: Vec::new(),
            quiet,
        }
    }

    fn note(&mut self, state: MetricState) {
        let MetricState::Numeric(entry, Some(number)) = state else { return };
        let Some(name) = self.names.get(&entry.metric_id) else { return };
        match self.values.iter_mut().find(|(known, _)| known == name) {
            Some((_, value)) => *value = number.current(),
            None => self.values.push((name.clone(), number.current())),
        }
    }

    fn print(&mut self, begin: &str) {
        let mut line = format!("{begin}step {}/{}", self.done, self.steps.end);
        for (name, value) in self.values.drain(..) {
            // Writing to a string cannot fail.
            let _ = write!(line, "  {name} {}", short(value));
        }
        let here = self.done.saturating_sub(self.steps.start);
        if !self.validating && here > 0 {
            let left = self.steps.end.saturating_sub(self.done) as f64 / here as f64;
            let _ = write!(line, "  {} left", clock(self.started.elapsed().mul_f64(left)));
        }
        if !self.quiet {
            // A training does not end because nobody reads its lines any more.
            let _ = writeln!(stderr(), "{line}");
        }
        self.last_line = Some(Instant::now());
    }
}

/// Four significant digits.
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

    fn start_split(&mut self, split: &str, _: usize) {
        self.validating = split != "train";
        self.values.clear();
    }

    fn update_split(&mut self, done: usize) {
        if self.validating {
            return;
        }
        self.done = done;
        let quiet = self.last_line.is_some_and(|last| last.elapsed() < LINE_EVERY);
        if !quiet || self.done == self.steps.end {
            self.print("");
        }
    }

    fn end_split(&mut self) {
        if self.validating && !self.values.is_empty() {
            self.print("validation: ");
        }
        self.validating = false;
    }

    // What has no line of its own.
    fn update_epoch(&mut self, _: usize) {}
    fn end(&mut self) {}
    fn log_event_training(&mut self, _: String) {}
}

impl MetricsRenderer for Lines {
    fn manual_close(&mut self) {}

    fn register_metric(&mut self, definition: MetricDefinition) {
        self.names.insert(definition.metric_id, definition.name.to_string());
    }
}

// Burn's trait also renders evaluations, which have a command of their own here.
impl MetricsRendererEvaluation for Lines {
    fn update_test(&mut self, _: EvaluationName, _: MetricState) {}
}

impl EvaluationProgressLogger for Lines {
    fn start_global_progress(&mut self, _: usize) {}
    fn start_test(&mut self, _: &str, _: usize) {}
    fn update_test_progress(&mut self, _: usize) {}
    fn end_test(&mut self) {}
    fn end_global_progress(&mut self) {}
    fn log_event_evaluation(&mut self, _: String) {}
}
