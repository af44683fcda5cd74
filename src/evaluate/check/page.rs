//! The worst findings as one HTML page.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use image::Rgb;
use mllmseg_data::files::{FileError, write_file};
use mllmseg_data::refer::ReferDataset;

use super::{Checked, Finding, Kind};
use crate::evaluate::report::STYLE;
use crate::evaluate::report::escape::escape;
use crate::evaluate::report::gallery::{PREDICTION, SIDE, TRUTH, view};
use crate::overlay::{paint, shrink};

/// Findings on the page.
const SHOWN: usize = 20;
/// The colours of the masks, which repeat.
const COLOURS: [Rgb<u8>; 2] = [TRUTH, PREDICTION];

/// Writes `index.html` with the worst findings into `dir`, and returns its path.
///
/// # Errors
/// If it cannot be written.
pub fn write_page(
    dir: &Path,
    data: &ReferDataset,
    checked: &Checked,
) -> Result<PathBuf, FileError> {
    let mut rows = String::new();
    for (kind, count) in checked.numbers() {
        let _ = writeln!(rows, "<tr><th>{kind}</th><td class=\"ours\">{count}</td></tr>");
    }
    let counts = &checked.counts;
    let cards: String = shown(checked).map(|finding| card(data, finding)).collect();
    let notes = data
        .notes()
        .iter()
        .map(|note| format!("<p class=\"remark\">{}</p>", escape(note)))
        .collect::<String>();
    let title = format!("{}, checked", data.dataset());
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} · MLLMSeg</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <header><h1>{title}</h1>\n<p class=\"lead\">{} images · {} expressions · {} targets</p>{notes}</header>\n\
         <section><h2>Findings</h2>\n<table>\n{rows}</table></section>\n\
         <section><h2>The worst</h2>\n<div class=\"gallery\">\n{cards}</div></section>\n</main>\n</body>\n</html>\n",
        counts.images, counts.expressions, counts.targets
    );
    fs::create_dir_all(dir).map_err(FileError::at(dir))?;
    let path = dir.join("index.html");
    write_file(&path, |file| file.write_all(page.as_bytes()))?;
    Ok(path)
}

/// The worst findings, but no more than half of the page of one kind while there are others.
fn shown(checked: &Checked) -> impl Iterator<Item = &Finding> {
    let mut of_kind: BTreeMap<Kind, usize> = BTreeMap::new();
    let (mut first, mut rest): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    for (index, finding) in checked.findings.iter().enumerate() {
        let count = of_kind.entry(finding.kind).or_default();
        *count += 1;
        if *count <= SHOWN / 2 { first.push(index) } else { rest.push(index) }
    }
    let mut shown: Vec<usize> = first.into_iter().chain(rest).take(SHOWN).collect();
    shown.sort_unstable();
    shown.into_iter().map(|index| &checked.findings[index])
}

fn card(data: &ReferDataset, finding: &Finding) -> String {
    let Finding { kind, image_id, detail, targets } = finding;
    let mut html = format!(
        "<article><h3>{kind}</h3><p class=\"facts\">image {image_id} · <span>{}</span></p>",
        escape(detail)
    );
    let image = data.image(*image_id);
    if let Ok(info) = image
        && let Ok(pixels) = data.read_image(info)
    {
        let small = shrink(&pixels, SIDE);
        html.push_str("<div class=\"views\">");
        html.push_str(&view(&small, "image"));
        for (targets, colour) in targets.iter().zip(COLOURS.iter().cycle()).take(2) {
            let mut painted = small.clone();
            let mask = data.mask(info, targets).ok().flatten();
            if let Some(mask) = &mask {
                paint(&mut painted, &[(mask, *colour)]);
            }
            html.push_str(&view(&painted, if mask.is_some() { "truth" } else { "no target" }));
        }
        html.push_str("</div>");
    }
    html + "</article>\n"
}
