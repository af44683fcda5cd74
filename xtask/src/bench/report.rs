//! Medians of the rounds, as a table or as JSON.

use std::error::Error;

use mllmseg::device::SelectedDevice;
use serde_json::json;

use super::peer::PeerPass;
use super::session::{PartSeconds, Round};

/// All rounds that count.
pub struct Report {
    title: String,
    ours: Vec<Round>,
    theirs: Vec<PeerPass>,
}

impl Report {
    pub fn new(preset: &str, device: &SelectedDevice) -> Self {
        let title = format!("{preset} on {} ({}), f32, drawn weights", device.id, device.name);
        Self { title, ours: Vec::new(), theirs: Vec::new() }
    }

    pub fn add(&mut self, ours: Round, theirs: Option<PeerPass>) {
        self.ours.push(ours);
        self.theirs.extend(theirs);
    }

    /// Prints a line of JSON, or a table.
    pub fn print(&self, as_json: bool) -> Result<(), Box<dyn Error>> {
        let encode = self.parts(|round| &round.encode);
        let expression = self.parts(|round| &round.expression);
        let [encoded, one] = [&encode, &expression].map(total);
        let sixteen = median(self.ours.iter().map(|round| round.sixteen));
        let ratios = self.ratios();
        if as_json {
            let by_name = |parts: &PartSeconds| {
                parts.iter().cloned().collect::<std::collections::BTreeMap<_, _>>()
            };
            let line = json!({
                "title": self.title, "encode": by_name(&encode), "expression": by_name(&expression),
                "sixteen": sixteen, "peak": peak_memory(), "peer": self.theirs.last(),
                "ratios": ratios.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
            });
            println!("{line}");
            return Ok(());
        }
        println!("{}", self.title);
        for (title, parts) in [("encode an image", &encode), ("one more expression", &expression)] {
            println!("{title:<24}{:>10.3} s", total(parts));
            parts.iter().for_each(|(name, seconds)| println!("  {name:<22}{seconds:>10.3} s"));
        }
        println!("{:<24}{sixteen:>10.3} s", "16 expressions at once");
        println!("{:<24}{:>10.1}", "(encode + one) / one", (encoded + one) / one);
        if let Some(peak) = peak_memory() {
            println!("{:<24}{:>10.2} GB", "peak memory", peak as f64 / 1e9);
        }
        if let Some(last) = self.theirs.last() {
            println!("PyTorch {}, one full pass", last.version);
            for (index, name) in ["vision", "language model", "mask decoder"].iter().enumerate() {
                let seconds = median(self.theirs.iter().map(|pass| pass.parts[index]));
                println!("  {name:<22}{seconds:>10.3} s");
            }
            println!("  {:<22}{:>10.2} GB", "peak memory", last.peak as f64 / 1e9);
        }
        ratios.iter().for_each(|(name, ratio)| println!("{name:<40}{ratio:>8.3}"));
        Ok(())
    }

    /// Our time to PyTorch's: medians of the ratios of each round.
    fn ratios(&self) -> Vec<(&'static str, f64)> {
        type Ours = fn(&Round) -> f64;
        let works: [(&str, Ours); 3] = [
            ("encode + first expression / one pass", |round| {
                total(&round.encode) + total(&round.expression)
            }),
            ("one more expression / one pass", |round| total(&round.expression)),
            ("16 expressions / 16 passes", |round| round.sixteen / 16.0),
        ];
        let ratio = |(name, ours): (&'static str, Ours)| {
            let rounds = self.ours.iter().zip(&self.theirs);
            (name, median(rounds.map(|(round, pass)| ours(round) / pass.seconds())))
        };
        if self.theirs.is_empty() { Vec::new() } else { works.map(ratio).to_vec() }
    }

    fn parts(&self, of: impl Fn(&Round) -> &PartSeconds) -> PartSeconds {
        let Some(first) = self.ours.first() else { return Vec::new() };
        let names = of(first).iter().enumerate();
        let parts = names.map(|(index, (name, _))| {
            (*name, median(self.ours.iter().map(|round| of(round)[index].1)))
        });
        parts.collect()
    }
}

fn total(parts: &PartSeconds) -> f64 {
    parts.iter().map(|(_, seconds)| seconds).sum()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The most memory that this process has had, in bytes; Linux says so.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(1024 * line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?)
}
