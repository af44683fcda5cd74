//! Counters in Prometheus' text form.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What has happened since the start.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// By route and status.
    requests: BTreeMap<(String, u16), u64>,
    /// Number and seconds of each stage.
    stages: BTreeMap<&'static str, (u64, f64)>,
    cache: BTreeMap<&'static str, u64>,
    /// Images and bytes that are kept.
    kept: (usize, u64),
    expressions: u64,
}

impl Metrics {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn request(&self, route: &str, status: u16) {
        *self.counts().requests.entry((route.to_string(), status)).or_default() += 1;
    }

    pub fn stage(&self, name: &'static str, time: Duration) {
        let mut counts = self.counts();
        let stage = counts.stages.entry(name).or_default();
        *stage = (stage.0 + 1, stage.1 + time.as_secs_f64());
    }

    pub fn expressions(&self, number: usize) {
        self.counts().expressions += number as u64;
    }

    /// `hit`, `miss`, `evicted`.
    pub fn cache(&self, event: &'static str, number: u64) {
        *self.counts().cache.entry(event).or_default() += number;
    }

    pub fn kept(&self, images: usize, bytes: u64) {
        self.counts().kept = (images, bytes);
    }

    pub fn text(&self, waiting: usize) -> String {
        let counts = self.counts();
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, lines: Vec<(String, f64)>| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "# HELP mllmseg_{name} {help}\n# TYPE mllmseg_{name} {kind}");
            for (labels, value) in lines {
                let _ = writeln!(text, "mllmseg_{name}{labels} {value}");
            }
        };
        let requests = counts.requests.iter().map(|((route, status), number)| {
            (format!("{{route=\"{route}\",status=\"{status}\"}}"), *number as f64)
        });
        family("requests_total", "counter", "Requests that were answered.", requests.collect());
        let one = |value: f64| vec![(String::new(), value)];
        family("queue_waiting", "gauge", "Requests that wait for the model.", one(waiting as f64));
        let stages = counts.stages.iter().flat_map(|(name, (number, seconds))| {
            let line = |part: &str, value| (format!("_{part}{{stage=\"{name}\"}}"), value);
            [line("sum", *seconds), line("count", *number as f64)]
        });
        family("stage_seconds", "summary", "Time of each stage.", stages.collect());
        let expressions = one(counts.expressions as f64);
        family("expressions_total", "counter", "Expressions that were segmented.", expressions);
        let cache = counts.cache.iter();
        let cache = cache.map(|(event, n)| (format!("{{event=\"{event}\"}}"), *n as f64));
        family(
            "cache_events_total",
            "counter",
            "Images found, not found, evicted.",
            cache.collect(),
        );
        family("cache_images", "gauge", "Encoded images that are kept.", one(counts.kept.0 as f64));
        family("cache_bytes", "gauge", "Bytes of encoded images.", one(counts.kept.1 as f64));
        text
    }
}
