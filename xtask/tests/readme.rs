//! The README keeps its word: its main command runs as written.

use std::path::Path;
use std::process::Command;

/// The lines of the first fenced block after a heading.
fn block_after<'a>(readme: &'a str, heading: &str) -> Vec<&'a str> {
    let after = readme.split_once(heading).expect("the heading is there").1;
    let block = after.split("```").nth(1).expect("a fenced block follows");
    block.lines().skip(1).filter(|line| !line.is_empty()).collect()
}

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[test]
fn the_main_command_runs_as_written() {
    let root = Path::new(ROOT);
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let lines = block_after(&readme, "## Run it");
    assert_eq!(lines.len(), 1, "one command: {lines:?}");
    // The same words, in a folder of its own, with the programs that are built already.
    let work = tempfile::tempdir().unwrap();
    for folder in ["tests", "examples"] {
        std::os::unix::fs::symlink(root.join(folder), work.path().join(folder)).unwrap();
    }
    let xtask = Path::new(env!("CARGO_BIN_EXE_xtask"));
    let mllmseg = xtask.with_file_name("mllmseg");
    assert!(mllmseg.exists(), "run with --workspace, which builds the mllmseg command");
    let command = lines[0]
        .replace("cargo xtask", &format!("'{}'", xtask.display()))
        .replace("cargo run --release --", &format!("'{}'", mllmseg.display()));
    assert!(!command.contains("cargo"), "{command}");
    // The committed image was made on the CPU; another device may round a pixel's score otherwise.
    let command = command.replace(" segment ", " segment --device cpu ");
    let output = Command::new("sh").arg("-c").arg(&command).current_dir(&work).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let overlay = image::open(work.path().join("mllmseg-out/scene_overlay.png")).unwrap();
    let committed =
        image::open(root.join("docs/book/src/pictures/first-mask/mllmseg-out/scene_overlay.png"))
            .unwrap();
    assert_eq!(overlay.to_rgb8(), committed.to_rgb8(), "the picture of the README");
}

#[test]
fn ci_runs_the_test_command_of_the_readme() {
    let root = Path::new(ROOT);
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let lines = block_after(&readme, "## Test it");
    assert!(xtask::ci::ALWAYS.iter().any(|step| step.command == lines[0]), "{lines:?}");
    let script = std::fs::read_to_string(root.join(".ci/run")).unwrap();
    assert!(script.lines().any(|line| line == "cargo xtask ci"), "{script}");
}
