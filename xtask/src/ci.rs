//! `cargo xtask ci`: everything that must hold before a change lands, as a table of commands.
//!
//! What costs much and rarely changes is left out where it has passed with the same inputs on this
//! machine, and so is what the machine cannot do. Whatever is left out is named.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;
use std::{env, error, fs, io};

use crate::book;
use crate::tool::is_installed;

/// A check: what it is, the command, and the environment's changes.
pub struct Step {
    what: &'static str,
    pub command: &'static str,
    variables: &'static [(&'static str, &'static str)],
}

const fn step(what: &'static str, command: &'static str) -> Step {
    Step { what, command, variables: &[] }
}

/// On every machine.
pub const ALWAYS: [Step; 5] = [
    step("format", "cargo fmt --all --check"),
    step("lints", "cargo clippy --release --workspace --all-targets -- -D warnings"),
    Step {
        what: "documentation",
        command: "cargo doc --release --workspace --no-deps",
        variables: &[("RUSTDOCFLAGS", "-D warnings")],
    },
    step("the README's test command: everything on the CPU", "cargo test --release --workspace"),
    step(
        "the server, and its page in Chromium where there is one",
        "cargo test --release --workspace --features serve --lib --test it serve",
    ),
];

/// Where there are the tools that make it.
const WEB: [Step; 2] = [
    step("the page with the model inside", "cargo xtask web"),
    step(
        "its model against this machine's, in Chromium where there is one",
        "cargo test --release --workspace --test it web:: -- --ignored",
    ),
];

const LICENCES: Step =
    step("licences and sources of the packages", "cargo deny check licenses bans sources");
const ADVISORIES: Step =
    step("known weaknesses of the packages", "cargo deny check --disable-fetch advisories");

/// Where what is compiled has changed since they passed.
const DEVICE_LINTS: Step = Step {
    what: "lints of every device and display",
    command: "cargo clippy --workspace --all-targets --features cuda,wgpu,webgpu,remote,tui,serve -- -D warnings",
    // CUDA's native part, which needs a download, is left out.
    variables: &[("DOCS_RS", "1")],
};

/// Where wgpu is built: from nothing that takes 40 minutes on two cores.
const DEVICE_TESTS: [Step; 2] = [
    step("tests on GPUs", "cargo test --release --workspace --features wgpu,remote,tui --test gpu"),
    step(
        "tests on devices of other hosts",
        "cargo test --release --workspace --features wgpu,remote,tui --test it many_devices::remote",
    ),
];

/// A software Vulkan device, so that the GPU code runs on machines without a GPU.
const VULKAN: [Step; 2] = [
    step("list of the system's packages", "apt-get update -qq"),
    step("Mesa's software Vulkan", "apt-get install -y -qq mesa-vulkan-drivers"),
];

type Result<T> = std::result::Result<T, Box<dyn error::Error>>;

/// Runs every check that applies, up to the first that fails.
pub fn run() -> Result<()> {
    env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))?;
    let target = PathBuf::from(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()));
    let run = Run { start: Instant::now() };
    for step in &ALWAYS {
        run.check(step, None)?;
    }
    run.book()?;
    run.web()?;
    run.packages()?;
    run.devices(&target)?;
    run.say("all passed");
    Ok(())
}

struct Run {
    start: Instant,
}

impl Run {
    fn say(&self, what: &str) {
        println!("\n== {what} (after {} min)", self.start.elapsed().as_secs() / 60);
    }

    fn check(&self, step: &Step, target: Option<&Path>) -> Result<()> {
        self.say(step.what);
        let mut command = command(step);
        command.envs(target.map(|target| ("CARGO_TARGET_DIR", target)));
        let status = command.status()?;
        if status.success() {
            return Ok(());
        }
        Err(format!("{} failed ({status}); run it alone: {}", step.what, step.command).into())
    }

    fn book(&self) -> Result<()> {
        if !is_installed("mdbook") {
            self.say("skipped: the book's pages; `cargo install --locked mdbook` adds them");
            return Ok(());
        }
        self.say("the book's pages");
        book::build(None)
    }

    fn web(&self) -> Result<()> {
        if let Err(missing) = crate::web::tools() {
            self.say(&format!("skipped: the page with the model inside; {missing}"));
            return Ok(());
        }
        WEB.iter().try_for_each(|step| self.check(step, None))
    }

    fn packages(&self) -> Result<()> {
        if !quiet("cargo deny --version").is_ok_and(|status| status.success()) {
            self.say("skipped: licences and weaknesses of the packages; `cargo install --locked cargo-deny` adds them");
            return Ok(());
        }
        self.check(&LICENCES, None)?;
        if !quiet("cargo deny fetch db")?.success() {
            self.say("skipped: known weaknesses of the packages; their list cannot be fetched");
            return Ok(());
        }
        self.check(&ADVISORIES, None)
    }

    fn devices(&self, target: &Path) -> Result<()> {
        let (stamp, inputs) = (target.join("devices.green"), inputs()?);
        if fs::read_to_string(&stamp).is_ok_and(|passed| passed == inputs) {
            self.say("skipped: GPUs, other hosts, CUDA; no Rust or TOML file has changed since they passed");
            return Ok(());
        }
        let mut beside = target.as_os_str().to_owned();
        beside.push("-cuda-check"); // other features would compile everything again
        self.check(&DEVICE_LINTS, Some(Path::new(&beside)))?;
        if env::var_os("MLLMSEG_CI_GPU").is_none_or(|asked| asked.is_empty()) && !has_wgpu(target) {
            self.say(
                "skipped: tests on GPUs and other hosts; MLLMSEG_CI_GPU=1 builds and runs them",
            );
            return Ok(());
        }
        let missing = cfg!(target_os = "linux") && !has_vulkan();
        for step in VULKAN.iter().filter(|_| missing).chain(&DEVICE_TESTS) {
            self.check(step, None)?;
        }
        Ok(fs::write(stamp, inputs)?)
    }
}

fn command(step: &Step) -> Command {
    let mut words = step.command.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).envs(step.variables.iter().copied());
    command
}

/// Runs a command without its output.
fn quiet(line: &'static str) -> io::Result<ExitStatus> {
    command(&step("", line)).stdout(Stdio::null()).stderr(Stdio::null()).status()
}

/// Compiler and checksums of all that is compiled, a line each.
fn inputs() -> Result<String> {
    let read = |line| -> Result<String> {
        let output = command(&step("", line)).stderr(Stdio::inherit()).output()?;
        let read = output.status.success().then(|| String::from_utf8(output.stdout));
        Ok(read.ok_or_else(|| format!("`{line}` failed"))??)
    };
    let mut inputs = read("rustc --version")?;
    for file in read("git ls-files Cargo.lock *.rs *.toml")?.lines() {
        let sum = crc32fast::hash(&fs::read(file).unwrap_or_default()); // deleted files count too
        inputs += &format!("{sum:08x} {file}\n");
    }
    Ok(inputs)
}

/// Whether wgpu was built here before.
fn has_wgpu(target: &Path) -> bool {
    let deps = fs::read_dir(target.join("release/deps"));
    let name = |file: fs::DirEntry| file.file_name().to_string_lossy().starts_with("libwgpu_core-");
    deps.is_ok_and(|files| files.flatten().any(name))
}

fn has_vulkan() -> bool {
    fs::read_dir("/usr/share/vulkan/icd.d").is_ok_and(|mut files| files.next().is_some())
}
