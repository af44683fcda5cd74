//! As much of Markdown, and of mdBook's additions to it, as the book uses.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A fenced block.
#[derive(Debug)]
pub struct Block<'a> {
    /// What stands after its first fence.
    pub info: &'a str,
    pub lines: Vec<&'a str>,
}

/// The fenced blocks of a text.
pub fn blocks(text: &str) -> Vec<Block<'_>> {
    let (mut blocks, mut lines) = (Vec::new(), text.lines());
    while let Some(line) = lines.next() {
        if let Some(info) = line.trim_start().strip_prefix("```") {
            let lines = lines.by_ref().take_while(|line| line.trim() != "```").collect();
            blocks.push(Block { info, lines });
        }
    }
    blocks
}

/// The lines that are in no fenced block.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    })
}

/// Where links and pictures lead, other hosts left out.
pub fn links(text: &str) -> Vec<String> {
    let targets = prose(text).flat_map(|line| line.split("](").skip(1));
    let targets = targets.map(|rest| rest.split(')').next().unwrap().to_string());
    targets.filter(|target| !target.contains("://")).collect()
}

/// The headings as mdBook names them in links.
pub fn slugs(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter_map(|line| line.trim_start_matches('#').strip_prefix(' '));
    let slug = |heading: &str| {
        let kept = heading.to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
    };
    headings.map(slug).collect()
}

/// What a line `{{#include PATH}}` or `{{#include PATH:ANCHOR}}` of a file in `folder` stands for; `None`
/// for other lines.
pub fn included(folder: &Path, line: &str) -> Option<Result<String, String>> {
    let what = line.strip_prefix("{{#include ")?.strip_suffix("}}")?;
    let (path, anchor) = match what.split_once(':') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (what, None),
    };
    let text = match fs::read_to_string(folder.join(path)) {
        Ok(text) => text,
        Err(error) => return Some(Err(format!("{path}: {error}"))),
    };
    Some(match anchor {
        None => Ok(text),
        Some(anchor) => between(&text, anchor).ok_or(format!("{path}: no anchor {anchor}")),
    })
}

/// The lines between the comments `ANCHOR: name` and `ANCHOR_END: name`, each of which is there once.
fn between(text: &str, name: &str) -> Option<String> {
    let comment = |line: &str| {
        let line = line.trim().trim_start_matches("//").trim_start_matches("<!--");
        line.trim_end_matches("-->").trim().to_string()
    };
    let place = |mark: String| {
        let mut places = text.lines().enumerate().filter(|(_, line)| comment(line) == mark);
        places.next().filter(|_| places.next().is_none()).map(|(number, _)| number)
    };
    let start = place(format!("ANCHOR: {name}"))? + 1;
    let length = place(format!("ANCHOR_END: {name}"))?.checked_sub(start)?;
    let lines = text.lines().skip(start).take(length);
    let lines: Vec<_> = lines.filter(|line| !comment(line).starts_with("ANCHOR")).collect();
    lines.iter().any(|line| !line.trim().is_empty()).then(|| lines.join("\n"))
}
