//! `cargo xtask fuzz`: libFuzzer on everything that comes from outside, and the table of what it did.
//!
//! Needs a nightly toolchain and `cargo install cargo-fuzz`.

mod counts;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

use counts::Counts;

/// Where the seeds of a target come from: files of the repository, by folder and ending.
const SEEDS: &[(&str, &str, &str)] = &[
    ("pickle", "data/tests/fixtures/refer", ".p"),
    ("refs_json", "data/tests/fixtures/refer", ".json"),
    ("instances", "data/tests/fixtures/refer", "instances.json"),
    ("mask_png", "assets", ".png"),
    ("image", "examples", ".png"),
    ("image", "examples", ".jpg"),
    ("tokenizer_json", "data/tests/fixtures/tokenizer", "tokenizer.json"),
    ("tokenizer_model", "data/tests/fixtures/tokenizer", "tokenizer.model"),
    ("tokenizer_vocab", "data/tests/fixtures/tokenizer", "vocab.json"),
    ("config", "tests", "config.json"),
    ("pytorch_bin", "tests/fixtures/pytorch_bin", ".bin"),
    ("recipe", "train/recipes", ".toml"),
    ("predictions", "tests/fixtures/eval/predictions", ".json"),
];

/// Larger seeds only slow the fuzzer down.
const MAX_SEED_BYTES: u64 = 64 << 10;

/// What to fuzz, and for how long.
#[derive(Args)]
pub struct Fuzz {
    /// Targets, as in fuzz/fuzz_targets; without it, all that have not had enough
    targets: Vec<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The targets of the network's crates too, which build Burn
    #[arg(long)]
    network: bool,
    /// `none` is several times faster, and enough where no code is unsafe
    #[arg(long, value_parser = ["address", "none"], default_value = "address")]
    sanitizer: String,
    /// Run nothing; print what all runs came to, as in docs/book/src/reliability.md
    #[arg(long)]
    counts: bool,
}

impl Fuzz {
    /// Runs the targets one after another, prints a table, and adds each run to `fuzz/counts.json`. Returns
    /// whether none found anything.
    ///
    /// # Errors
    /// If a target cannot be built or started, or the counts cannot be read or written.
    pub fn run(&self) -> Result<bool, Box<dyn Error>> {
        let mut counts = Counts::read()?;
        if self.counts {
            print!("{}", counts.table());
            return Ok(true);
        }
        println!(
            "{:<18} {:>12} {:>10} {:>10}  finding",
            "target", "executions", "coverage", "inputs"
        );
        let (mut executions, mut clean) = (0, true);
        for target in &self.targets()? {
            if self.targets.is_empty() && counts.is_enough(target) {
                continue;
            }
            let outcome = self.fuzz(target)?;
            // A run that found something ended early.
            let seconds = if outcome.finding.is_none() { self.seconds } else { 0 };
            counts.add(target, outcome.executions, outcome.coverage, seconds);
            counts.write()?;
            let finding = outcome.finding.as_deref().unwrap_or("none");
            let Outcome { executions: runs, coverage, inputs, .. } = outcome;
            println!("{target:<18} {runs:>12} {coverage:>10} {inputs:>10}  {finding}");
            executions += runs;
            clean &= outcome.finding.is_none();
        }
        println!("{:<18} {executions:>12}", "all");
        Ok(clean)
    }

    fn targets(&self) -> Result<Vec<String>, Box<dyn Error>> {
        if !self.targets.is_empty() {
            return Ok(self.targets.clone());
        }
        let network = ["fuzz/src/network.rs", "fuzz/src/server.rs"].map(fs::read_to_string);
        let network = network.into_iter().collect::<Result<String, _>>()?;
        let mut names = Vec::new();
        for file in fs::read_dir("fuzz/fuzz_targets")? {
            let name = file?.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if self.network || !network.contains(&format!("pub fn {name}(")) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn fuzz(&self, target: &str) -> Result<Outcome, Box<dyn Error>> {
        let corpus = PathBuf::from("fuzz/corpus").join(target);
        fs::create_dir_all(&corpus)?;
        for (_, folder, ending) in SEEDS.iter().filter(|(name, ..)| *name == target) {
            copy_seeds(Path::new(folder), ending, &corpus)?;
        }
        let mut command = Command::new("cargo");
        command.args(["+nightly", "fuzz", "run", "--sanitizer", &self.sanitizer, target]);
        command.arg(&corpus);
        let regressions = Path::new("fuzz/regressions").join(target);
        command.args(regressions.is_dir().then_some(&regressions));
        if self.network {
            command.args(["--features", "network"]);
        }
        command.arg("--").arg(format!("-max_total_time={}", self.seconds));
        command.args(["-rss_limit_mb=1024", "-timeout=10", "-print_final_stats=1"]);
        let output = command.stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
        Outcome::parse(&String::from_utf8_lossy(&output.stderr), output.status.success())
    }
}

/// What libFuzzer says in the end.
struct Outcome {
    executions: u64,
    coverage: u64,
    inputs: u64,
    finding: Option<String>,
}

impl Outcome {
    fn parse(log: &str, success: bool) -> Result<Self, Box<dyn Error>> {
        let number = |text: Option<&str>| text.and_then(|text| text.trim().parse().ok());
        let Some(executions) = number(
            log.split("stat::number_of_executed_units:")
                .nth(1)
                .and_then(|rest| rest.lines().next()),
        ) else {
            return Err(log.lines().rev().take(20).collect::<Vec<_>>().join("\n").into());
        };
        // `#1234  DONE   cov: 812 ft: 2214 corp: 151/9Kb ...`
        let after = |key: &str| {
            let rest = log.rsplit(key).next().filter(|rest| rest.len() < log.len())?;
            rest.split([' ', '/']).find(|word| !word.is_empty())
        };
        let finding = log.lines().find_map(|line| line.split("Test unit written to ").nth(1));
        let finding = finding.or((!success).then_some("the fuzzer failed")).map(str::to_owned);
        let coverage = number(after(" cov: ")).unwrap_or(0);
        Ok(Self { executions, coverage, inputs: number(after(" corp: ")).unwrap_or(0), finding })
    }
}

/// Copies the files under `folder` whose name ends so, each by a name made of its path.
fn copy_seeds(folder: &Path, ending: &str, corpus: &Path) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            copy_seeds(&path, ending, corpus)?;
        } else if path.to_string_lossy().ends_with(ending)
            && path.metadata()?.len() <= MAX_SEED_BYTES
        {
            let bytes = fs::read(&path)?;
            // The targets with fragments take bytes as they are after an even one.
            let marked = [&[0][..], &bytes].concat();
            let name = path.to_string_lossy().replace(['/', '\\'], "-");
            fs::write(corpus.join(format!("{name}.marked")), marked)?;
            fs::write(corpus.join(name), bytes)?;
        }
    }
    Ok(())
}
