//! One self-contained HTML page: the numbers beside the paper's, how the IoUs are spread, and
//! images of where the model does best and fails.

mod charts;
pub(super) mod escape;
pub(super) mod gallery;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use mllmseg_data::files::{FileError, write_file};

use super::published::MODELS;
use super::{EvalError, Evaluation, Selection, Summary};
use charts::{histogram, precision_curve};
use escape::escape;

pub(super) const STYLE: &str = include_str!("page.css");

/// Writes `index.html` into `dir` and returns its path.
///
/// The galleries show predictions from the files `predictions`, those that were scored, on the
/// images of the data set; where no image can be read the page says so and has none.
///
/// # Errors
/// If the predictions cannot be read again, or the page cannot be written.
pub fn write(
    dir: &Path,
    selection: &Selection,
    evaluation: &Evaluation,
    predictions: &[impl AsRef<Path>],
) -> Result<PathBuf, EvalError> {
    let galleries = gallery::build(selection, evaluation, predictions)?;
    let page = page(selection, evaluation, &galleries);
    let path = dir.join("index.html");
    fs::create_dir_all(dir).map_err(FileError::at(dir))?;
    write_file(&path, |file| file.write_all(page.as_bytes()))?;
    Ok(path)
}

fn page(selection: &Selection, evaluation: &Evaluation, galleries: &str) -> String {
    let options = &selection.benchmark.options;
    let title = format!("{} {}", options.dataset, options.split);
    let with_target: Vec<f64> = evaluation
        .outcomes
        .iter()
        .filter(|outcome| !outcome.no_target)
        .map(|outcome| outcome.iou)
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} · MLLMSeg</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <header><h1>{title}</h1>\n<p class=\"lead\">{n} expressions · split by {split_by}{scored_as} · \
         protocol <strong>{protocol}</strong></p>{remarks}</header>\n\
         <section><h2>Numbers</h2>\n{table}</section>\n\
         <section class=\"charts\">\n\
         <figure>{histogram}<figcaption>Expressions by IoU, of the {targets} with a target\
         </figcaption></figure>\n\
         <figure>{curve}<figcaption>Prec@X: the part of them with an IoU of at least X\
         </figcaption></figure>\n</section>\n{galleries}\n</main>\n</body>\n</html>\n",
        n = evaluation.summary.numbers.n(),
        protocol = options.protocol,
        split_by = escape(options.split_by()),
        scored_as = scored_as(&evaluation.summary, " · "),
        remarks = remarks(&evaluation.summary)
            .map(|(count, what)| format!("\n<p class=\"remark\">{count} {what}.</p>"))
            .collect::<String>(),
        table = table(selection, evaluation),
        histogram = histogram(&with_target),
        targets = with_target.len(),
        curve = precision_curve(&with_target),
    )
}

/// Whose metrics own data get, after `separator`; nothing for published data.
pub fn scored_as(summary: &Summary, separator: &str) -> String {
    summary.scored_as.map_or(String::new(), |like| format!("{separator}scored as {like}"))
}

/// What was left out or could not be asked: how many, and a phrase that follows the number.
pub fn remarks(summary: &Summary) -> impl Iterator<Item = (usize, &'static str)> {
    let other_shards = summary.shard.map_or(0, |shard| shard.count() - 1);
    let all = [
        (other_shards, "other shards of the split do not count here"),
        (summary.missing_images, "images were missing and are skipped"),
        (summary.missing_predictions, "expressions have no prediction and do not count"),
        (summary.unasked, "expressions could not be asked and count with an empty mask"),
        (
            summary.empty_truths,
            "expressions have an annotated mask without a pixel, which no answer can meet",
        ),
        (summary.skipped_refs, "refs contradict the annotations and are left out"),
    ];
    all.into_iter().filter(|(count, _)| *count > 0)
}

/// The names of the numbers as papers write them.
pub fn label(key: &str) -> String {
    match key {
        "ciou" => "cIoU".into(),
        "miou" => "mIoU".into(),
        "giou" => "gIoU".into(),
        "n_acc" => "N-acc".into(),
        "t_acc" => "T-acc".into(),
        "rec_prec@0.5" => "REC Prec@0.5".into(),
        other => other.replace("prec", "Prec"),
    }
}

fn table(selection: &Selection, evaluation: &Evaluation) -> String {
    let paper = selection.benchmark.published();
    let columns = if paper.is_empty() { 0 } else { MODELS.len() };
    let mut text =
        String::from("<div class=\"scroll\"><table>\n<thead><tr><th>%</th><th>This run</th>");
    for model in &MODELS[..columns] {
        let _ = write!(text, "<th>{model} <small>(paper)</small></th>");
    }
    text.push_str("</tr></thead>\n<tbody>\n");
    for (key, value) in evaluation.summary.numbers.all() {
        let _ = write!(
            text,
            "<tr><th>{}</th><td class=\"ours\">{}</td>",
            label(key),
            value.map_or("–".into(), |value| format!("{value:.2}"))
        );
        let published = paper.iter().find(|(name, _)| *name == key);
        for column in 0..columns {
            let value =
                published.map_or("–".into(), |(_, values)| format!("{:.1}", values[column]));
            let _ = write!(text, "<td>{value}</td>");
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody>\n</table></div>\n");
    text.push_str(if paper.is_empty() {
        "<p class=\"remark\">The paper reports no numbers for this split.</p>\n"
    } else {
        "<p class=\"remark\">The paper's numbers are from its Tables 1 to 3, made by the published \
         scripts, which count as the protocol <code>released</code> does.</p>\n"
    });
    text
}
