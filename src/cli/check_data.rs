//! `mllmseg check-data`: what is in a data set, and what is wrong with it.

use std::fmt::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueHint};
use mllmseg::data::refer::{Contradictions, Dataset, OpenOptions, ReferDataset, Skipped, Split};
use mllmseg::evaluate::check::{Checked, Counts, Spread, check, write_page};
use serde_json::{Value, json};

use super::CliError;
use super::terminal::{note, print_result, progress_bar};

/// Check a data set: open every file, decode every image, draw every mask
///
/// Ends with exit code 1 if `eval` or `train` would stop at something.
#[derive(Debug, Args)]
pub struct CheckDataArgs {
    /// Folder that holds refcoco/, grefcoco/, ..., and images/; or the folder of your own data
    #[arg(value_name = "ROOT", value_hint = ValueHint::DirPath)]
    root: PathBuf,
    /// refcoco, refcoco+, refcocog, refclef, grefcoco, refcoco-m, rrsisd, ref-zom or own [default: those that
    /// are there]
    #[arg(long)]
    dataset: Option<Dataset>,
    /// Whose split: unc, umd, google, ... [default: umd for refcocog, else unc]
    #[arg(long, value_name = "NAME")]
    split_by: Option<String>,
    /// Only this split
    #[arg(long)]
    split: Option<Split>,
    /// Refuse data that are written otherwise than COCO and RefCOCO are
    #[arg(long)]
    strict: bool,
    /// Write a page of the worst twenty with their masks: DIR/index.html
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    report: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Findings of a kind that are printed one by one.
const PRINTED: usize = 3;

/// Checks the data sets and prints what was found.
pub fn run(arguments: CheckDataArgs) -> Result<(), CliError> {
    let datasets = arguments.datasets()?;
    let (mut all, mut unusable) = (Vec::new(), Vec::new());
    for &dataset in &datasets {
        let options = OpenOptions {
            split_by: arguments.split_by.clone(),
            contradictions: Contradictions::Skip,
            only: arguments.split,
            strict: arguments.strict,
        };
        let data = ReferDataset::open_with(&arguments.root, dataset, options)?;
        let bar = progress_bar("[{wide_bar}] {pos}/{len} images, {eta} left", 0);
        let progress = |done, total| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        };
        let checked = check(&data, arguments.split, &progress)?;
        bar.finish_and_clear();
        if let Some(dir) = &arguments.report {
            let dir = if datasets.len() > 1 { dir.join(dataset.name()) } else { dir.clone() };
            note(format!("The page is {}", write_page(&dir, &data, &checked)?.display()));
        }
        match arguments.json {
            true => all.push(as_json(&data, &checked)),
            false => print_result(table(&data, &checked)?.trim_end())?,
        }
        if !is_usable(&data, &checked) {
            unusable.push(dataset.name());
        }
    }
    if arguments.json {
        print_result(serde_json::to_string_pretty(&all)?)?;
    }
    match unusable.is_empty() {
        true => Ok(()),
        false => Err(format!("{}: not usable as it is; see above", unusable.join(", ")).into()),
    }
}

impl CheckDataArgs {
    fn datasets(&self) -> Result<Vec<Dataset>, CliError> {
        if let Some(dataset) = self.dataset {
            return Ok(vec![dataset]);
        }
        let is_there = |dataset: &Dataset| dataset.instances_file(&self.root).is_file();
        let mut datasets: Vec<Dataset> = Dataset::ALL.into_iter().filter(is_there).collect();
        let own = |split: &Split| self.root.join(format!("{split}.jsonl")).is_file();
        if Split::ALL.iter().any(own) {
            datasets.push(Dataset::Own);
        }
        match datasets.is_empty() {
            true => Err(format!(
                "{}: no data set here; expected refcoco/instances.json and the like, or train.jsonl",
                self.root.display()
            )
            .into()),
            false => Ok(datasets),
        }
    }
}

/// Whether `eval` and `train` take the data without being told to skip something.
fn is_usable(data: &ReferDataset, checked: &Checked) -> bool {
    checked.is_usable() && *data.skipped() == Skipped::default()
}

fn table(data: &ReferDataset, checked: &Checked) -> Result<String, fmt::Error> {
    let Counts { images, expressions, without_target, targets, width, height, covered, .. } =
        &checked.counts;
    let mut text = String::new();
    let (widths, heights) = (spread(", width", width, 1.0), spread(", height", height, 1.0));
    writeln!(text, "{}", data.dataset())?;
    writeln!(text, "{images:>9} images{widths}{heights}")?;
    writeln!(text, "{expressions:>9} expressions, {without_target} without a target")?;
    writeln!(text, "{targets:>9} targets{}", spread(", % of the image", covered, 100.0))?;
    for (kind, count) in checked.numbers() {
        writeln!(text, "{count:>9} {kind}")?;
        let of_kind = checked.findings.iter().filter(|finding| finding.kind == kind);
        for finding in of_kind.take(PRINTED) {
            writeln!(text, "{:>11} image {}: {}", "", finding.image_id, finding.detail)?;
        }
    }
    let Skipped { refs, repeated_sentences, examples } = data.skipped();
    writeln!(text, "{refs:>9} refs that contradict the annotations")?;
    writeln!(text, "{repeated_sentences:>9} sentences whose `sent_id` an earlier one has")?;
    for example in examples.iter().take(PRINTED) {
        writeln!(text, "{:>11} {example}", "")?;
    }
    for note in data.notes() {
        writeln!(text, "{note}")?;
    }
    Ok(text)
}

fn spread(what: &str, spread: &Option<Spread>, factor: f64) -> String {
    let shown = |value: f64| (value * factor * 10.0).round() / 10.0;
    spread.map_or(String::new(), |Spread { least, median, most }| {
        format!("{what} {} to {} (median {})", shown(least), shown(most), shown(median))
    })
}

fn as_json(data: &ReferDataset, checked: &Checked) -> Value {
    let findings = checked.findings.iter().map(|finding| {
        json!({"kind": format!("{:?}", finding.kind).to_lowercase(), "image_id": finding.image_id, "detail": finding.detail})
    });
    let leniencies = data.leniencies().iter();
    json!({
        "dataset": data.dataset().name(),
        "usable": is_usable(data, checked),
        "counts": checked.counts,
        "findings": findings.collect::<Vec<_>>(),
        "leniencies": leniencies
            .map(|(kind, count, first)| json!({"kind": kind.to_string(), "count": count, "first": first}))
            .collect::<Vec<_>>(),
        "repeated_sent_ids": data.skipped().repeated_sentences,
        "notes": data.notes(),
    })
}
