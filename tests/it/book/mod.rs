//! The book in `docs/book`: what it includes and links is there, and its commands print and draw what
//! it shows.

mod commands;
mod markdown;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use mllmseg::train::Recipe;

use super::support::{names, root, scratch};
use markdown::{blocks, included, links, slugs};

/// The folder of the chapters.
fn source() -> PathBuf {
    root().join("docs/book/src")
}

fn read(name: &str) -> String {
    fs::read_to_string(source().join(name)).unwrap()
}

/// The chapters by their files' names, with the lines that they include.
fn chapters() -> BTreeMap<String, String> {
    let files = names(&source()).into_iter();
    let files = files.filter(|name| name.ends_with(".md") && name != "SUMMARY.md");
    let whole = |name: String| {
        let text = read(&name);
        let lines = text.lines().map(|line| match included(&source(), line) {
            None => line.to_string(),
            Some(lines) => lines.unwrap_or_else(|error| panic!("{name}: {error}")),
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        assert!(!text.contains("{{#"), "{name}: an include is a line of its own");
        (name, text)
    };
    files.map(whole).collect()
}

#[test]
fn every_chapter_is_in_the_summary() {
    let listed = links(&read("SUMMARY.md"));
    let once: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(listed.len(), once.len(), "a chapter is listed twice");
    assert_eq!(once, chapters().into_keys().collect());
}

/// So the Rust of the book is compiled where it comes from.
#[test]
fn rust_is_included_and_never_written() {
    for name in chapters().keys() {
        for block in blocks(&read(name)).iter().filter(|block| block.info.contains("rust")) {
            let all = block.lines.iter().all(|line| included(&source(), line).is_some());
            assert!(block.info == "rust" && all, "{name}: {block:?}");
        }
    }
}

#[test]
fn recipes_can_be_read() {
    let (text, folder) = (read("training.md"), scratch());
    let recipes: Vec<_> = blocks(&text).into_iter().filter(|block| block.info == "toml").collect();
    assert_eq!(recipes.len(), 1);
    let file = folder.path().join("mine.toml");
    fs::write(&file, recipes[0].lines.join("\n")).unwrap();
    let recipe = Recipe::read(&file).unwrap();
    assert_eq!((&*recipe.name, recipe.steps), ("mine", 5000));
}

#[test]
fn an_include_needs_its_file_and_its_anchor() {
    let fails = |line| included(&source(), line).unwrap().unwrap_err();
    assert!(fails("{{#include ../nowhere.md}}").contains("nowhere.md"));
    assert!(fails("{{#include ../../../README.md:nowhere}}").contains("nowhere"));
    let devices = included(&source(), "{{#include ../../../README.md:devices}}").unwrap().unwrap();
    assert!(devices.contains("--device") && !devices.contains("ANCHOR"), "{devices}");
}

#[test]
fn links_and_pictures_are_there() {
    let chapters = chapters();
    let mut shown = BTreeSet::new();
    for (name, text) in &chapters {
        for link in links(text) {
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let file = if file.is_empty() { name } else { file };
            match chapters.get(file) {
                Some(text) => assert!(
                    heading.is_empty() || slugs(text).contains(heading),
                    "{name}: no heading {link}"
                ),
                None => assert!(shown.insert(file.to_string()), "{name}: {file} is shown twice"),
            }
        }
    }
    assert_eq!(shown, pictures(), "left: what chapters show; right: the pictures");
}

/// Paths of all pictures in the chapters' folder; none is large.
fn pictures() -> BTreeSet<String> {
    let (mut found, mut folders) = (BTreeSet::new(), vec![source().join("pictures")]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            assert!(fs::metadata(&path).unwrap().len() < 150_000, "{}", path.display());
            found.insert(path.strip_prefix(source()).unwrap().to_str().unwrap().to_string());
        }
    }
    found
}

/// The pages outside of the book link files of the repository, and headings of chapters.
#[test]
fn links_of_the_other_pages_are_there() {
    let chapters = chapters();
    for page in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        for link in links(&fs::read_to_string(root().join(page)).unwrap()) {
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            assert!(file.is_empty() || root().join(file).exists(), "{page}: no file {link}");
            let chapter = Path::new(file).file_name().and_then(|name| name.to_str());
            if let Some(text) = chapter.and_then(|name| chapters.get(name))
                && file.starts_with("docs/book/")
            {
                assert!(heading.is_empty() || slugs(text).contains(heading), "{page}: {link}");
            }
        }
    }
}
