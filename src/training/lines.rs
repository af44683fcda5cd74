//! Plain lines with the time that is left, where there is no terminal to draw on.

use std::io::{Write, stderr};
use std::ops::Range;
use std::time::{Duration, Instant};

use mllmseg_data::metrics::GeneralizedReport;
use mllmseg_train::MaskLoss;
use mllmseg_train::display::{Display, SCORES, StepMetric, step_metrics};
use mllmseg_train::metrics::StepNumbers;

/// The least time between two lines about steps.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Writes lines to standard error.
pub struct Lines {
    /// The steps that this process takes.
    steps: Range<usize>,
    quiet: bool,
    done: usize,
    started: Instant,
    last_line: Option<Instant>,
    /// A step's numbers, each with its sum since the last validation.
    sums: Vec<(StepMetric, f64)>,
    /// Steps in each sum.
    summed: usize,
    /// A validation's scores until now.
    scores: Vec<(&'static str, f64)>,
}

impl Lines {
    /// For the steps that are still to be taken; `quiet` writes none.
    pub fn new(steps: Range<usize>, quiet: bool) -> Self {
        Self {
            done: steps.start,
            steps,
            quiet,
            started: Instant::now(),
            last_line: None,
            sums: Vec::new(),
            summed: 0,
            scores: Vec::new(),
        }
    }

    fn print(&mut self, begin: &str, values: &[(&str, f64)], end: &str) {
        let values: String =
            values.iter().map(|&(name, value)| format!("  {name} {}", short(value))).collect();
        if !self.quiet {
            // A training does not end because nobody reads its lines any more.
            let _ = writeln!(stderr(), "{begin}step {}/{}{values}{end}", self.done, self.steps.end);
        }
        self.last_line = Some(Instant::now());
    }
}

impl Display for Lines {
    fn start(&mut self, mask: MaskLoss, _: usize) {
        self.started = Instant::now();
        self.sums = step_metrics(mask).map(|metric| (metric, 0.0)).into();
    }

    fn step(&mut self, numbers: &StepNumbers) {
        for (metric, sum) in &mut self.sums {
            *sum += (metric.value)(numbers);
        }
        self.summed += 1;
        self.done = numbers.step + 1;
        let waits = self.last_line.is_some_and(|last| last.elapsed() < LINE_EVERY);
        if waits && self.done != self.steps.end {
            return;
        }
        let mean = |(metric, sum): &(StepMetric, f64)| (metric.name, sum / self.summed as f64);
        let means: Vec<_> = self.sums.iter().map(mean).collect();
        let left = self.steps.end.saturating_sub(self.done) as f64;
        let left = left / self.done.saturating_sub(self.steps.start).max(1) as f64;
        let left = format!("  {} left", clock(self.started.elapsed().mul_f64(left)));
        self.print("", &means, &left);
    }

    fn start_validation(&mut self, _: usize) {}

    fn validation_pass(&mut self, _: usize, report: &GeneralizedReport) {
        let scores = SCORES.into_iter();
        self.scores = scores.filter_map(|(name, score)| Some((name, score(report)?))).collect();
    }

    fn end_validation(&mut self) {
        let scores = std::mem::take(&mut self.scores);
        if !scores.is_empty() {
            self.print("validation: ", &scores, "");
        }
        self.sums.iter_mut().for_each(|(_, sum)| *sum = 0.0);
        self.summed = 0;
    }

    fn end(&mut self) {}
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
