//! Medians of the rounds, as a table or as JSON.

use std::fmt;

use serde::Serialize;

use super::clock::Parts;
use super::cost::Ceiling;
use super::peer::PeerRound;
use super::setting::Setting;
use super::work::{RowOf, Work};

/// What was measured on a device in a dtype.
#[derive(Serialize)]
pub struct Report {
    /// The sizes, device, and dtype.
    pub title: String,
    /// The best rates of either program.
    pub ceiling: Ceiling,
    /// PyTorch's version, if it was measured.
    pub pytorch: Option<String>,
    pub rows: Vec<Row>,
}

/// One line of it.
#[derive(Debug, Serialize)]
pub struct Row {
    pub name: String,
    /// `s`, `/s` or `GB`.
    pub unit: &'static str,
    pub ours: f64,
    pub pytorch: Option<f64>,
    /// Our time or memory by PyTorch's: the median of the ratios of each round.
    pub ratio: Option<f64>,
    /// The least time that the machine's ceiling allows, by ours.
    pub of_ceiling: Option<f64>,
}

/// Our rounds, and PyTorch's of the same work in turn with them.
#[derive(Default)]
pub struct Measured {
    pub ours: Vec<Parts>,
    pub theirs: Vec<PeerRound>,
    /// Bytes.
    pub peak: Option<u64>,
}

impl Report {
    pub fn new(setting: &Setting, ceiling: Ceiling) -> Self {
        let Setting { name, device, dtype, .. } = setting;
        let (id, kind, dtype) = (&device.id, &device.name, dtype.name());
        let title = format!("{name} on {id} ({kind}), {dtype}, drawn weights");
        Self { title, ceiling, pytorch: None, rows: Vec::new() }
    }

    /// Adds the rows of a work, and its peak memory.
    pub fn add(&mut self, work: Work, setting: &Setting, measured: &Measured) {
        let row = |of: &RowOf| measured.row(of, &self.ceiling);
        self.rows.extend(work.rows(setting).iter().map(row));
        let last = measured.theirs.last();
        if let Some(last) = last {
            self.pytorch = Some(last.version.clone());
        }
        self.rows.extend(measured.peak.map(|ours| {
            let gigabytes = |bytes: u64| bytes as f64 / 1e9;
            let theirs = last.and_then(|round| round.peak).map(gigabytes);
            let ours = gigabytes(ours);
            let ratio = theirs.map(|theirs| ours / theirs);
            let name = "  peak memory".into();
            Row { name, unit: "GB", ours, pytorch: theirs, ratio, of_ceiling: None }
        }));
    }
}

impl Measured {
    fn row(&self, of: &RowOf, ceiling: &Ceiling) -> Row {
        let ours = |parts: &Parts| sum(parts, of.ours);
        let theirs = |round: &PeerRound| of.times * sum(&round.parts, of.theirs);
        let has_peer = !(self.theirs.is_empty() || of.theirs.is_empty());
        let pairs = self.ours.iter().zip(&self.theirs);
        let seconds = median(self.ours.iter().map(ours));
        let shown = |seconds: f64| of.made.map_or(seconds, |made| made as f64 / seconds);
        Row {
            name: of.name.clone(),
            unit: if of.made.is_some() { "/s" } else { "s" },
            ours: shown(seconds),
            pytorch: has_peer.then(|| shown(median(self.theirs.iter().map(theirs)))),
            ratio: has_peer.then(|| median(pairs.map(|(a, b)| ours(a) / theirs(b)))),
            of_ceiling: of.cost.map(|cost| ceiling.least_seconds(cost) / seconds),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ceiling { operations_per_second, bytes_per_second } = self.ceiling;
        let pytorch = self.pytorch.as_ref().map(|version| {
            let (release, _) = version.split_once('+').unwrap_or((version, ""));
            format!("PyTorch {release}")
        });
        let [product, copy] = [operations_per_second, bytes_per_second].map(|rate| rate / 1e9);
        writeln!(f, "{}", self.title)?;
        writeln!(f, "ceiling: products {product:.0} GFLOP/s, copies {copy:.1} GB/s")?;
        let pytorch = pytorch.unwrap_or_default();
        writeln!(f, "{:<32}{:>14}{pytorch:>18}{:>8}{:>14}", "", "this", "ratio", "of ceiling")?;
        for Row { name, unit, ours, pytorch, ratio, of_ceiling } in &self.rows {
            let number = |x: &Option<f64>| x.map(|x| format!("{x:.3}")).unwrap_or_default();
            let [theirs, ratio, share] = [pytorch, ratio, of_ceiling].map(number);
            writeln!(f, "{name:<32}{ours:>11.3} {unit:<2}{theirs:>18}{ratio:>8}{share:>14}")?;
        }
        Ok(())
    }
}

fn sum(parts: &Parts, names: &[&str]) -> f64 {
    names.iter().map(|&name| parts.get(name).copied().unwrap_or(f64::NAN)).sum()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::cost::Cost;

    fn parts(seconds: f64) -> Parts {
        Parts::from([("a".into(), seconds), ("b".into(), 1.0)])
    }

    /// Ours 3, 2 and 4 s; PyTorch's 10, 1 and 2 s, twice for the same result. The ratios are 3/20, 2/2
    /// and 4/4, their median is 1, and that of the seconds is 3; 6 operations at 4 a second take 1.5.
    #[test]
    fn ratios_are_those_of_each_round() {
        let theirs = [9.0, 0.0, 1.0].map(|seconds| PeerRound {
            parts: parts(seconds),
            peak: None,
            version: String::new(),
        });
        let measured =
            Measured { ours: [2.0, 1.0, 3.0].map(parts).into(), theirs: theirs.into(), peak: None };
        let names: &[&str] = &["a", "b"];
        let of = RowOf {
            name: "x".into(),
            ours: names,
            theirs: names,
            times: 2.0,
            made: None,
            cost: Some(Cost { operations: 6.0, bytes: 0.0 }),
        };
        let ceiling = Ceiling { operations_per_second: 4.0, bytes_per_second: 1.0 };
        let row = measured.row(&of, &ceiling);
        assert_eq!((row.ours, row.pytorch, row.ratio), (3.0, Some(4.0), Some(1.0)));
        assert_eq!(row.of_ceiling, Some(0.5));
        let rate = measured.row(&RowOf { made: Some(6), theirs: &[], ..of }, &ceiling);
        assert_eq!((rate.ours, rate.unit, rate.pytorch, rate.ratio), (2.0, "/s", None, None));
    }
}
