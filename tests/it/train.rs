//! Training as people run it: to the end, killed and resumed, stopped by what goes wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use mllmseg::scenes::{ImageFormat, SynthOptions, World, write_dataset};
use mllmseg::{Segmenter, device};
use tempfile::TempDir;

use super::support::*;

/// A folder with a few drawn scenes and a recipe.
struct Place(TempDir);

/// What every recipe here has: a small model from nothing.
const RECIPE: &str = r#"
name = "test"
seed = 3
[new_model]
preset = "tiny"
mask_prior = -2.0
[trained]
weights = "everything"
"#;

impl Place {
    fn new(train_images: u64, recipe: &str) -> Self {
        let place = Self(TempDir::new().unwrap());
        let options = SynthOptions {
            out: place.data(),
            images: 1,
            train_images,
            seed: 5,
            format: ImageFormat::Jpeg,
            world: World { expressions: [8, 8], ..World::small() },
        };
        write_dataset(&options, &mut |_, _| {}).unwrap();
        fs::write(place.recipe(), format!("{recipe}{RECIPE}")).unwrap();
        place
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn recipe(&self) -> PathBuf {
        self.0.path().join("recipe.toml")
    }

    fn without_dropout(&self) {
        let recipe = fs::read_to_string(self.recipe()).unwrap();
        fs::write(self.recipe(), recipe + "dropout = false\n").unwrap();
    }

    fn run(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn start(&self, run: &Path) -> Command {
        let mut command = train(run);
        command.arg("--data").arg(self.data()).arg("--recipe").arg(self.recipe());
        command
    }
}

fn train(run: &Path) -> Command {
    let mut command = mllmseg(["train", "--device", "cpu", "--plain", "--out"]);
    command.arg(run).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn resume(run: &Path) -> Command {
    let mut command = train(run);
    command.arg("--resume");
    command
}

fn succeeds(mut command: Command) {
    printed(&mut command);
}

/// The rows of a run's `steps.csv` without the last column, which is the speed.
fn losses(run: &Path) -> Vec<String> {
    let text = fs::read_to_string(run.join("steps.csv")).unwrap();
    text.lines().map(|row| row.rsplit_once(',').unwrap().0.to_string()).collect()
}

fn steps_of_snapshots(run: &Path) -> Vec<String> {
    names(&run.join("snapshots"))
}

/// Names and contents.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let content = |name: String| (name.clone(), fs::read(dir.join(name)).unwrap());
    names(dir).into_iter().map(content).collect()
}

const SHORT: &str = r#"
steps = 24
data = { mix = ["refcoco", "grefcoco"], expressions_per_image = 3 }
batch = { images = 1, batches_per_step = 2 }
snapshots = { every = 3, keep = 2 }
validation = { dataset = "grefcoco", every = 8, expressions = 4 }
"#;

/// Dropout acts, images are recompressed at random, and expressions are drawn: all of it must be the
/// same after a resume, bit for bit. One run is never stopped; the other is killed ten times.
#[test]
fn a_run_killed_at_random_moments_ends_as_one_that_never_stopped() {
    let place = Place::new(6, SHORT);
    let (whole, killed) = (place.run("whole"), place.run("killed"));
    let started = Instant::now();
    succeeds(place.start(&whole));
    let patience = started.elapsed();

    let mut child = place.start(&killed).spawn().unwrap();
    // A generator of its own: the moments differ from run to run of this test on purpose.
    let mut state = u64::from(std::process::id());
    let mut kills = 0;
    while kills < 10 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let share = 0.05 + 0.3 * (state >> 40) as f64 / f64::from(1 << 24);
        if finished_within(&mut child, patience.mul_f64(share)) {
            break;
        }
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        kills += 1;
        // Killed before the run existed: there is nothing to resume, and nothing in the way.
        child = match killed.join("run.toml").exists() {
            true => resume(&killed).spawn().unwrap(),
            false => place.start(&killed).spawn().unwrap(),
        };
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", errors(&output));

    assert_eq!(losses(&whole), losses(&killed));
    assert_eq!(losses(&whole).len(), 25); // a row for each step, and the names
    assert!(files(&whole.join("model")) == files(&killed.join("model")), "weights differ");
    let validation = |run: &Path| fs::read_to_string(run.join("validation.csv")).unwrap();
    assert_eq!(validation(&whole), validation(&killed));
    assert_eq!(validation(&whole).lines().count(), 4);
    // The last two, the best if it is neither, and nothing half written.
    let names = steps_of_snapshots(&killed);
    assert!((2..=3).contains(&names.len()), "{names:?}");
    assert!(names.contains(&"step-00000024".to_string()), "{names:?}");
    assert!(whole.join("curves.png").exists());
    assert_says(failure(&mut place.start(&whole)), &["--resume"]);

    // A second program is kept out; the next one removes what was left half written.
    let unfinished = killed.join(".mllmseg-left");
    fs::create_dir(&unfinished).unwrap();
    let lock = fs::File::open(killed.join("run.lock")).unwrap();
    lock.lock().unwrap();
    assert_says(failure(&mut resume(&killed)), &["another training works in this folder"]);
    drop(lock);
    succeeds(resume(&killed));
    assert!(files(&whole.join("model")) == files(&killed.join("model")), "the model was lost");
    assert!(!unfinished.exists());
}

fn finished_within(child: &mut Child, time: Duration) -> bool {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        sleep(Duration::from_millis(5));
    }
    false
}

/// Ctrl-C leaves a snapshot of the step in which it came, from which the run resumes.
#[cfg(unix)]
#[test]
fn ctrl_c_stops_with_a_snapshot() {
    let recipe = SHORT.replace("every = 3", "every = 1000").replace("steps = 24", "steps = 400");
    let place = Place::new(2, &recipe);
    let run = place.run("run");
    let child = place.start(&run).spawn().unwrap();
    let two_steps =
        || fs::read_to_string(run.join("steps.csv")).map_or(0, |t| t.lines().count()) > 2;
    let end = Instant::now() + Duration::from_secs(120);
    while !two_steps() && Instant::now() < end {
        sleep(Duration::from_millis(20));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    let text = errors(&output);
    assert!(output.status.success() && text.contains("--resume"), "{text}");
    let snapshots = steps_of_snapshots(&run);
    assert_eq!(snapshots.len(), 1, "{snapshots:?}");
    let steps = losses(&run).len() - 1;
    assert_eq!(snapshots[0], format!("step-{steps:08}"));
}

/// A learning rate beyond all reason: the run says which term broke, and what it had is intact.
#[test]
fn a_nan_loss_stops_the_run_by_name() {
    let recipe = SHORT.replace("every = 3", "every = 1")
        + "optimizer = { learning_rate = 1e30, warmup = 0.0 }\n";
    let place = Place::new(2, &recipe);
    let run = place.run("run");
    let message = failure(&mut place.start(&run));
    assert!(message.contains("loss is") || message.contains("not finite"), "{message}");
    assert!(message.contains("learning rate"), "{message}");
    let snapshots = steps_of_snapshots(&run);
    assert!(!snapshots.is_empty() && snapshots.iter().all(|name| !name.contains('.')));
}

/// A damaged image stops a run before its first step, or others are drawn in its place; one that is damaged later stops
/// it with a snapshot.
#[test]
fn bad_images_are_found_first_and_counted() {
    let recipe = SHORT.replace("every = 3", "every = 1000").replace("steps = 24", "steps = 40");
    let recipe = recipe.replace("grefcoco\"], ", "grefcoco\"], max_bad_images = 1, ");
    let place = Place::new(4, &recipe);
    let images = place.data().join("images/mscoco/images/train2014");
    let mut files = names(&images);
    files.retain(|name| name.ends_with(".jpg"));
    let cut = |name: &String| {
        let whole = fs::read(images.join(name)).unwrap();
        fs::write(images.join(name), &whole[..whole.len() / 2]).unwrap();
        whole
    };
    let whole = files.iter().map(cut).collect::<Vec<_>>();
    assert_says(
        failure(&mut place.start(&place.run("none"))),
        &["images cannot be used", "--max-bad-images"],
    );
    assert!(!place.run("none").join("snapshots").exists());
    for (name, whole) in files.iter().zip(&whole) {
        fs::write(images.join(name), whole).unwrap();
    }
    let run = place.run("later");
    let child = place.start(&run).spawn().unwrap();
    let steps = || fs::read_to_string(run.join("steps.csv")).map_or(0, |text| text.lines().count());
    let end = Instant::now() + Duration::from_secs(120);
    while steps() < 3 && Instant::now() < end {
        sleep(Duration::from_millis(20));
    }
    files.iter().for_each(|name| drop(cut(name)));
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success());
    assert_says(errors(&output), &["2 images cannot be used", "max_bad_images allows 1"]);
    let done = losses(&run).len() - 1;
    assert_eq!(steps_of_snapshots(&run), [format!("step-{done:08}")]);
    for (name, whole) in files.iter().zip(&whole) {
        fs::write(images.join(name), whole).unwrap();
    }
    succeeds(resume(&run));
    assert_eq!(losses(&run).len(), 41);
}

/// A file-size limit stands for the full disk: the snapshot fails with a clear error, and the run
/// before it is whole.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_earlier_snapshot() {
    let place = Place::new(2, &SHORT.replace("steps = 24", "steps = 6"));
    let run = place.run("run");
    succeeds(place.start(&run));
    let before = steps_of_snapshots(&run);
    // Two steps more than the recipe had.
    let recipe = fs::read_to_string(run.join("recipe.toml")).unwrap();
    fs::write(run.join("recipe.toml"), recipe.replace("steps = 6", "steps = 9")).unwrap();
    // 4 MB is room for the curves, but not for the weights.
    let script = format!(
        "trap '' XFSZ; ulimit -f 8000; exec {} train --device cpu --plain --resume --out {}",
        env!("CARGO_BIN_EXE_mllmseg"),
        run.display()
    );
    let mut limited = Command::new("bash");
    limited.args(["-c", &script]).stdout(Stdio::null());
    assert_says(failure(&mut limited), &["safetensors", "earlier snapshots"]);
    assert_eq!(steps_of_snapshots(&run), before);
    succeeds(resume(&run));
    assert_eq!(losses(&run).len(), 10);
}

/// Half of each step's batches on either of two devices: the losses of one device with all of them.
#[test]
fn two_devices_learn_as_one() {
    let recipe = SHORT.replace("steps = 24", "steps = 6").replace("every = 8", "every = 6");
    let place = Place::new(4, &recipe);
    place.without_dropout();
    let (one, two) = (place.run("one"), place.run("two"));
    succeeds(place.start(&one));
    // `--devices` takes the place of `--device`.
    let mut command = mllmseg(["train", "--devices", "cpu,cpu", "--plain", "--out"]);
    command.arg(&two).arg("--data").arg(place.data()).arg("--recipe").arg(place.recipe());
    succeeds(command);
    let numbers = |run: &Path| -> Vec<Vec<f64>> {
        let rows = losses(run).split_off(1);
        rows.iter().map(|row| row.split(',').map(|v| v.parse().unwrap()).collect()).collect()
    };
    let (one, two) = (numbers(&one), numbers(&two));
    assert_eq!((one.len(), two.len()), (6, 6));
    for (a, b) in one.iter().flatten().zip(two.iter().flatten()) {
        assert!((a - b).abs() <= 1e-4 * a.abs().max(1e-2), "{one:?} {two:?}");
    }
}

#[test]
fn the_model_is_written_in_the_layout_that_is_asked_for() {
    let place =
        Place::new(2, &SHORT.replace("steps = 24", "steps = 1").replace("every = 8", "every = 1"));
    let (run, out) = (place.run("run"), place.run("out"));
    let mut command = place.start(&run);
    command.args(["--layout", "transformers"]);
    succeeds(command);
    printed(mllmseg(["export"]).args([&run, &out]));
    for model in [&run.join("model"), &out] {
        let config = read_json(&model.join("config.json"));
        let segmenter = Segmenter::load(model, &device::cpu()).unwrap();
        assert_eq!(config["model_type"], "internvl");
        assert_eq!(config["image_token_id"], segmenter.special.img_context);
        assert!(tensors_of(model).keys().any(|name| name.starts_with("vision_tower.")));
    }
}

/// The whole of it learns: one picture's expressions to an overlap of more than 0.95.
#[test]
fn a_tiny_model_overfits_eight_expressions() {
    let recipe = r#"
steps = 500
data = { mix = ["grefcoco"], expressions_per_image = 8, ask = "apart", wording = "evaluation", jpeg_quality = [] }
batch = { images = 1, batches_per_step = 1 }
loss = { mask = "bce_dice" }
optimizer = { learning_rate = 1.5e-3, beta_2 = 0.99, weight_decay = 0.0, matrices = "muon" }
validation = { dataset = "grefcoco", split = "train", every = 500, expressions = 8 }
"#;
    let place = Place::new(1, recipe);
    place.without_dropout();
    let run = place.run("run");
    succeeds(place.start(&run));
    let validation = fs::read_to_string(run.join("validation.csv")).unwrap();
    let numbers: Vec<f64> =
        validation.lines().last().unwrap().split(',').map(|n| n.parse().unwrap()).collect();
    let [_, expressions, ciou, giou, ..] = numbers[..] else { panic!("{validation}") };
    assert!(expressions == 8.0 && ciou > 95.0 && giou > 95.0, "{validation}");
}
