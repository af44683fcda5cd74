//! The commands of the book.
//!
//! A block `sh` runs as it stands, in the chapter's folder, against the tiny model. So does a block
//! `console`, whose output is compared. Of a block `sh needs=SOMETHING`, which a test cannot have, only
//! the arguments are parsed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use image::RgbImage;

use super::markdown::{Block, blocks, links};
use super::{chapters, source};
use crate::support::{errors, root, scratch};

/// Pictures that no command writes as they are: screenshots.
const SCREENSHOTS: [&str; 3] = ["serve/light.png", "serve/dark.png", "metrics/report.png"];

/// The other kinds of blocks.
const NOT_RUN: [&str; 8] = ["", "json", "python", "rust", "text", "toml", "xml", "yaml"];

#[test]
fn commands_print_and_draw_what_the_book_shows() {
    for (name, text) in chapters() {
        let folder = scratch();
        for part in ["assets", "examples"] {
            symlink(root().join(part), folder.path().join(part)).unwrap();
        }
        for block in blocks(&text) {
            match block.info {
                "sh" => drop(run(&name, &block.lines.join("\n"), folder.path())),
                "console" => compare(&name, &block, folder.path()),
                info if info.starts_with("sh needs=") || NOT_RUN.contains(&info) => {}
                info => panic!("{name}: a block of the unknown kind {info:?}"),
            }
        }
        let pictures = format!("pictures/{}/", name.trim_end_matches(".md"));
        for picture in links(&text).iter().filter_map(|link| link.strip_prefix(&pictures)) {
            let path = format!("{}{picture}", pictures.trim_start_matches("pictures/"));
            if !SCREENSHOTS.contains(&&*path) {
                let made = folder.path().join(picture);
                assert_alike(&made, &source().join("pictures").join(path));
            }
        }
    }
}

/// What a script prints.
fn run(chapter: &str, script: &str, folder: &Path) -> String {
    assert!(!script.contains("cargo "), "{chapter}: mark what compiles by needs=: {script}");
    let program = Path::new(env!("CARGO_BIN_EXE_mllmseg")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.args(["-e", "-c", script]).current_dir(folder).env("PATH", path);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{chapter}: {script}\n{}", errors(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs each `$ command` and compares what it prints with the lines below it.
fn compare(chapter: &str, block: &Block, folder: &Path) {
    let mut lines = block.lines.iter().peekable();
    while let Some(line) = lines.next() {
        let command = line.strip_prefix("$ ").unwrap_or_else(|| panic!("{chapter}: {line}"));
        let mut shown = String::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with("$ ")) {
            shown = shown + line + "\n";
        }
        let printed = run(chapter, command, folder);
        assert!(alike(&shown, &printed), "{chapter}: {command}\nprints\n{printed}\nnot\n{shown}");
    }
}

/// The same words. Another processor may turn a pixel at an edge, so numbers may differ a little.
fn alike(shown: &str, printed: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| c.is_whitespace() || c == ',');
        words.filter(|word| !word.is_empty()).map(str::to_string).collect()
    };
    let (shown, printed) = (words(shown), words(printed));
    let close = |(a, b): (&String, &String)| match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(x), Ok(y)) if a.contains('.') => (x - y).abs() <= 0.01 * x.abs().max(1.0),
        (Ok(x), Ok(y)) => (x - y).abs() <= 1.0,
        _ => a == b,
    };
    shown.len() == printed.len() && shown.iter().zip(&printed).all(close)
}

#[test]
fn another_output_is_noticed() {
    let shown = "the star: box 38,15 to 96,72, score 0.982";
    assert!(alike(shown, "the star: box 38,15 to 96,73, score 0.979\n"));
    assert!(!alike(shown, "the star: box 38,15 to 96,74, score 0.982"));
    assert!(!alike(shown, "the star: box 38,15 to 96,72, score 0.961"));
    assert!(!alike(shown, "the ring: box 38,15 to 96,72, score 0.982"));
    assert!(!alike(shown, "the star: box 38,15 to 96,72"));
}

/// The same picture, but for the rounding to the 256 colours in which some are kept.
#[track_caller]
fn assert_alike(made: &Path, shown: &Path) {
    let open = |path: &Path| -> RgbImage {
        let image = image::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        image.into_rgb8()
    };
    let (a, b) = (open(made), open(shown));
    assert_eq!(a.dimensions(), b.dimensions(), "{}", shown.display());
    let differences = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b)));
    let mean = differences.sum::<u64>() as f64 / a.as_raw().len() as f64;
    assert!(mean < 2.0, "{} differs by {mean} of 255 from what is drawn now", shown.display());
}

#[test]
fn marked_commands_have_arguments_that_exist() {
    for (name, text) in chapters() {
        for block in blocks(&text).iter().filter(|block| block.info.starts_with("sh needs=")) {
            let (wrong, output) = parse(&block.lines.join("\n"));
            assert!(wrong.is_empty(), "{name}: {wrong}");
            assert_ne!(output.status.code(), Some(2), "{name}: {}", errors(&output));
        }
    }
}

#[test]
fn a_wrong_argument_and_a_wrong_script_are_noticed() {
    let (wrong, _) = parse("mllmseg train --base DIR --data ROOT --stepz 4 --out RUN");
    assert_eq!(wrong, "mllmseg train --base DIR --data ROOT --stepz 4 --out RUN\n");
    assert_eq!(parse("cargo run --release -- train --data ROOT").0, "mllmseg train --data ROOT\n");
    assert_eq!(parse("cargo run --release --example nothing").0, "no example nothing\n");
    assert_eq!(parse("mllmseg serve --bind HOST --nothing").0.lines().count(), 1);
    assert_eq!(parse("mllmseg segment photo.jpg 'a dog").1.status.code(), Some(2));
}

/// Stands for the command. What would do something without any file is asked for its help. Bad
/// arguments end with 2, all else with 0 or 1.
const COMMAND: &str = r#"#!/bin/sh
case $1 in serve*|synth|download|doctor) set -- "$@" --help ;; esac
"$MLLMSEG" "$@" >/dev/null 2>&1
[ $? -le 1 ] || echo "mllmseg $*" >>"$WRONG"
"#;

const CARGO: &str = r#"#!/bin/sh
case "$1 $2 $3" in
"run --release --") shift 3; exec mllmseg "$@" ;;
"run --release --example") [ -f "$ROOT/examples/$4.rs" ] || echo "no example $4" >>"$WRONG" ;;
esac
"#;

/// Runs a script in an empty folder with stand-ins for its programs, and returns the commands that had
/// wrong arguments, a line each.
fn parse(script: &str) -> (String, Output) {
    let (folder, programs) = (scratch(), scratch());
    for (name, text) in [("mllmseg", COMMAND), ("cargo", CARGO)] {
        let path = programs.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let wrong = programs.path().join("wrong");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).current_dir(&folder).env("PATH", programs.path());
    command.env("MLLMSEG", env!("CARGO_BIN_EXE_mllmseg")).env("WRONG", &wrong).env("ROOT", root());
    command.env("HF_HUB_OFFLINE", "1").env("SLURM_ARRAY_TASK_ID", "1");
    let output = command.output().unwrap();
    (fs::read_to_string(wrong).unwrap_or_default(), output)
}
