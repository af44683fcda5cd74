//! The command beside others: standard input, pipes that close, quiet runs, completions.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use super::support::*;

/// The tiny model's command on a drawn scene, with a cache and an output folder of its own.
fn segment(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = mllmseg(["segment", "--device", "cpu", "--out", "out"]);
    command.args(arguments).current_dir(folder).env("XDG_CACHE_HOME", folder);
    command
}

fn scene() -> String {
    root().join("examples/scene.png").into_os_string().into_string().unwrap()
}

#[test]
fn a_picture_may_come_through_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let from_file =
        printed_json(&mut segment(folder.path(), &[&scene(), "the red star", "--json"]));
    let mut command = segment(folder.path(), &["-", "the red star", "--json"]);
    let from_stdin = printed_json(command.stdin(File::open(scene()).unwrap()));
    let mask = |json: &serde_json::Value| json["images"][0]["results"][0]["segmentation"].clone();
    assert_eq!(mask(&from_stdin), mask(&from_file));
    assert_eq!(from_stdin["images"][0]["image"], "-");
    assert!(folder.path().join("out/stdin_overlay.png").exists());

    let mut twice = segment(folder.path(), &["-", "star", "--image", "-"]);
    assert_says(failure(twice.stdin(Stdio::null())), &["standard input", "once"]);
    let mut empty = segment(folder.path(), &["-", "star"]);
    assert_says(failure(empty.stdin(Stdio::null())), &["standard input", "an empty file"]);
    let mut explain = mllmseg(["explain", "-", "the red star", "--device", "cpu"]);
    explain.current_dir(folder.path()).env("XDG_CACHE_HOME", folder.path());
    printed(explain.stdin(File::open(scene()).unwrap()));
    assert!(folder.path().join("mllmseg-out/stdin_explain.png").exists());
}

/// The scene has the model's own size, so the probabilities that `--scores` writes can be counted.
#[test]
fn the_threshold_decides_what_belongs_to_a_mask() {
    let folder = tempfile::tempdir().unwrap();
    let side = 96;
    let small = image::open(scene()).unwrap().resize_exact(
        side,
        side,
        image::imageops::FilterType::Triangle,
    );
    small.save(folder.path().join("small.png")).unwrap();
    for threshold in ["0", "0.25", "0.5", "0.9", "1"] {
        let arguments =
            ["small.png", "all the yellow triangles", "--json", "--threshold", threshold];
        let mut command = segment(folder.path(), &arguments);
        let json = printed_json(command.args(["--scores", "s.safetensors"]));
        let (shape, scores) = floats(&folder.path().join("s.safetensors"), "scores");
        assert_eq!(shape, [1, side as usize, side as usize]);
        let inside = scores.iter().filter(|&&p| p >= threshold.parse().unwrap());
        let inside: Vec<f64> = inside.map(|&p| f64::from(p)).collect();
        let result = &json["images"][0]["results"][0];
        assert_eq!(result["area"], inside.len(), "{threshold}");
        let mean = inside.iter().sum::<f64>() / inside.len().max(1) as f64;
        assert!((result["score"].as_f64().unwrap() - mean).abs() < 1e-6, "{threshold}");
    }
    for wrong in ["1.5", "-0.1", "NaN", "half"] {
        let output = segment(folder.path(), &["small.png", "star"])
            .arg(format!("--threshold={wrong}"))
            .output()
            .unwrap();
        assert_says(errors(&output), &["--threshold", wrong, "from 0 to 1"]);
    }
}

#[test]
fn quiet_runs_say_nothing_but_results() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [&scene(), "the red star"];
    let loud = segment(folder.path(), &arguments).output().unwrap();
    assert_says(errors(&loud), &["tiny model", "loaded in"]);
    let quiet = segment(folder.path(), &arguments).arg("-q").output().unwrap();
    assert!(quiet.status.success());
    assert_eq!(errors(&quiet), "");
    assert_eq!(quiet.stdout, loud.stdout);
    let wrong = segment(folder.path(), &["nowhere.png", "star", "--quiet"]).output().unwrap();
    assert_says(failure_of(&wrong), &["nowhere.png"]);
}

/// Runs a command whose standard output and error are closed at once, and returns its exit code.
fn deaf(command: &mut Command) -> Option<i32> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    child.wait().unwrap().code()
}

#[test]
fn a_closed_pipe_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["pictures/a.png", "pictures/b.png"] {
        fs::create_dir_all(folder.path().join("pictures")).unwrap();
        fs::copy(scene(), folder.path().join(name)).unwrap();
    }
    let mut command = segment(folder.path(), &["pictures", "the red star"]);
    assert_eq!(deaf(&mut command), Some(0));
    let expected = ["a_mask1.png", "a_overlay.png", "b_mask1.png", "b_overlay.png"];
    assert_eq!(names(&folder.path().join("out")), expected);
    assert_eq!(deaf(&mut segment(folder.path(), &["nowhere.png", "star"])), Some(1));

    let data = folder.path().join("data").display().to_string();
    for arguments in [
        &["synth", "--out", &data, "--images", "2", "--seed", "1", "--train-images", "2"][..],
        &["info", "--preset", "tiny"],
        &["info", "--preset", "tiny", "--json"],
        &["completions", "bash"],
        &["--help"],
        &["eval", "--data", &data, "--dataset", "refcoco", "--split", "val", "--device", "cpu"],
        &["explain", &scene(), "the red star", "--device", "cpu"],
        &[
            "train",
            "--data",
            &data,
            "--out",
            "run",
            "--recipe",
            "tiny",
            "--steps",
            "1",
            "--mix",
            "refcoco",
            "--device",
            "cpu",
            "--validate-on",
            "none",
        ],
        &["export", "run", "exported"],
    ] {
        let mut command = mllmseg(arguments);
        command.current_dir(folder.path()).env("XDG_CACHE_HOME", folder.path());
        assert_eq!(deaf(&mut command), Some(0), "{arguments:?}");
    }
    for file in ["data/refcoco/instances.json", "run/model/config.json", "exported/config.json"] {
        assert!(folder.path().join(file).exists(), "{file}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_is_an_error() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = mllmseg(["info", "--preset", "tiny"]).stdout(full).output().unwrap();
    assert_says(failure_of(&output), &["standard output cannot be written", "space"]);
}

#[test]
fn shells_can_complete() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = printed(&mut mllmseg(["completions", shell]));
        assert_says(&script, &["merge-lora", "threshold", "world"]);
    }
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("mllmseg.bash");
    fs::write(&script, printed(&mut mllmseg(["completions", "bash"]))).unwrap();
    let complete = "source \"$0\"; COMP_WORDS=(mllmseg merge); COMP_CWORD=1; _mllmseg mllmseg merge \
                    mllmseg; echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash").args(["-c", complete]).arg(&script).output();
    // Not every machine has bash.
    if let Ok(output) = output {
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "merge-lora");
    }
}
