//! What all runs of the fuzz targets came to: `fuzz/counts.json`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::{fs, io};

use mllmseg_data::files;
use serde::{Deserialize, Serialize};

/// Where the counts are, in the repository.
const FILE: &str = "fuzz/counts.json";
/// Executions that are enough for a target.
const ENOUGH_EXECUTIONS: u64 = 20_000_000;
/// Seconds that are enough too, if none of their inputs reached new code.
const ENOUGH_SECONDS: u64 = 30 * 60;

/// The counts, by target.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counts(BTreeMap<String, Count>);

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Count {
    executions: u64,
    /// Edges between basic blocks that an input went along.
    edges: u64,
    /// Seconds of runs since an input went along a new one.
    seconds_without_new_edges: u64,
    /// What was found and mended; written by hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    findings: Vec<String>,
}

impl Counts {
    /// The counts of the repository.
    pub fn read() -> Result<Self, Box<dyn Error>> {
        let text = fs::read_to_string(FILE).map_err(|error| format!("{FILE}: {error}"))?;
        serde_json::from_str(&text).map_err(|error| format!("{FILE}: {error}").into())
    }

    /// Writes them.
    pub fn write(&self) -> Result<(), Box<dyn Error>> {
        files::write_file(Path::new(FILE), |file| {
            serde_json::to_writer_pretty(&mut *file, self).map_err(io::Error::from)?;
            writeln!(file)
        })?;
        Ok(())
    }

    /// Whether a target needs no more runs.
    pub fn is_enough(&self, target: &str) -> bool {
        self.0.get(target).is_some_and(|count| {
            count.executions >= ENOUGH_EXECUTIONS
                || count.seconds_without_new_edges >= ENOUGH_SECONDS
        })
    }

    /// Adds a run.
    pub fn add(&mut self, target: &str, executions: u64, edges: u64, seconds: u64) {
        let count = self.0.entry(target.to_owned()).or_default();
        count.executions += executions;
        match edges > count.edges {
            true => (count.edges, count.seconds_without_new_edges) = (edges, 0),
            false => count.seconds_without_new_edges += seconds,
        }
    }

    /// As Markdown.
    pub fn table(&self) -> String {
        let mut table = String::from(
            "| target | executions | edges | minutes without a new edge | found and mended |\n\
             | --- | --- | --- | --- | --- |\n",
        );
        for (target, count) in &self.0 {
            let found = match count.findings.as_slice() {
                [] => "nothing".into(),
                findings => findings.join("; "),
            };
            let Count { executions, edges, seconds_without_new_edges: seconds, .. } = count;
            let minutes = seconds / 60;
            let executions = grouped(*executions);
            let _ =
                writeln!(table, "| `{target}` | {executions} | {edges} | {minutes} | {found} |");
        }
        let all = grouped(self.0.values().map(|count| count.executions).sum());
        let _ = writeln!(table, "| all | {all} | | | |");
        table
    }
}

/// With a comma between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_book_has_the_table() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let [counts, page] = [FILE, "docs/book/src/reliability.md"]
            .map(|file| fs::read_to_string(root.join(file)).unwrap());
        let counts: Counts = serde_json::from_str(&counts).unwrap();
        assert!(page.contains(&counts.table()), "print it by `cargo xtask fuzz --counts`");
    }

    #[test]
    fn a_new_edge_starts_the_seconds_again() {
        let mut counts = Counts(BTreeMap::new());
        counts.add("image", 5, 100, 1800);
        assert!(!counts.is_enough("image"));
        counts.add("image", 5, 100, 1800);
        assert!(counts.is_enough("image"));
        counts.add("image", 1, 101, 60);
        assert!(!counts.is_enough("image"));
        counts.add("image", ENOUGH_EXECUTIONS, 102, 60);
        assert!(counts.is_enough("image") && !counts.is_enough("pickle"));
        assert_eq!(grouped(20_000_011), "20,000,011");
    }
}
