//! `cargo xtask torture`: kills, full disks, disks without the right to write, and two programs in one folder.
//!
//! Whatever happens, what a command leaves under its product's name is whole, and a command that is given
//! again ends as one that was never disturbed, byte for byte.

mod check;
mod disk;
mod hub;
mod workload;

use std::error::Error;
use std::path::PathBuf;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use rand_mt::Mt64;
use tempfile::TempDir;

use check::{check, check_absent_or, errors, start};
use workload::{Product, Workload};

/// What to do to the commands, and how often.
#[derive(Args)]
pub struct Torture {
    /// Kills (SIGKILL) in all, shared evenly by the commands
    #[arg(long, default_value_t = 1000)]
    kills: usize,
    /// Only this command: train, eval, download or merge-lora
    #[arg(long)]
    only: Option<String>,
    /// Seed of the moments
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The program; without it the `mllmseg` beside this one
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Full disks and disks without the right to write too; mounts small ones in memory, so needs root
    #[arg(long)]
    disks: bool,
}

/// A share of the undisturbed time within which a kill comes.
const LATEST_KILL: f64 = 0.5;

impl Torture {
    /// Prints a row for each command.
    ///
    /// # Errors
    /// With the first thing that was lost, or if a command fails undisturbed.
    pub fn run(&self) -> Result<(), Box<dyn Error>> {
        let program = match &self.program {
            Some(program) => program.clone(),
            None => std::env::current_exe()?.with_file_name("mllmseg"),
        };
        if !program.is_file() {
            return Err(
                format!("no {}: cargo build --release, or --program", program.display()).into()
            );
        }
        let inputs = TempDir::new()?;
        let mut workloads = workload::all(&program, inputs.path())?;
        workloads.retain(|workload| self.only.as_ref().is_none_or(|only| only == workload.name));
        println!(
            "{:<12} {:>8} {:>6} {:>8} {:>10} {:>6}",
            "command", "seconds", "kills", "finished", "disks", "twins"
        );
        let mut moments = Mt64::new(self.seed);
        let kills = self.kills.div_ceil(workloads.len().max(1));
        for workload in &workloads {
            let (expected, patience) = undisturbed(workload)?;
            let finished = kill(workload, &expected, patience, kills, &mut moments)?;
            let disks = if self.disks { disk::run_all(workload, &expected)? } else { 0 };
            twins(workload, &expected)?;
            let seconds = patience.as_secs_f64();
            let name = workload.name;
            println!("{name:<12} {seconds:>8.1} {kills:>6} {finished:>8} {disks:>10} {:>6}", "ok");
        }
        println!("nothing was lost");
        Ok(())
    }
}

/// The product of a command that nothing disturbs, and the time it takes.
fn undisturbed(workload: &Workload) -> Result<(Product, Duration), Box<dyn Error>> {
    let (place, started) = (TempDir::new()?, Instant::now());
    let output = start(workload, place.path())?.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("{} fails undisturbed:\n{}", workload.name, errors(&output)).into());
    }
    let product = workload.product(place.path())?.ok_or("no product")?;
    Ok((product, started.elapsed()))
}

/// Kills a command at random moments and gives it again, `kills` times in all. Returns how often it came to
/// its end.
fn kill(
    workload: &Workload,
    expected: &Product,
    patience: Duration,
    kills: usize,
    moments: &mut Mt64,
) -> Result<usize, Box<dyn Error>> {
    let (mut finished, mut done) = (0, 0);
    while done < kills {
        let place = TempDir::new()?;
        loop {
            let mut child = start(workload, place.path())?;
            let share = LATEST_KILL * moments.next_u64() as f64 / u64::MAX as f64;
            let running = done < kills && !ends_within(&mut child, patience.mul_f64(share))?;
            if running {
                child.kill()?; // SIGKILL on Unix
                child.wait()?;
                done += 1;
                check_absent_or(expected, workload, place.path(), "a kill")?;
                if workload.needs_new_folder && workload.product(place.path())?.is_some() {
                    break; // killed after its work was done, it is refused what it has made
                }
                continue;
            }
            let output = child.wait_with_output()?;
            if !output.status.success() {
                return Err(format!("{} after kills:\n{}", workload.name, errors(&output)).into());
            }
            check(expected, workload, place.path(), "kills")?;
            finished += 1;
            break;
        }
    }
    Ok(finished)
}

/// Two of a command in one folder: one works, the other says so or finds the work done.
fn twins(workload: &Workload, expected: &Product) -> Result<(), Box<dyn Error>> {
    let place = TempDir::new()?;
    let twins = [start(workload, place.path())?, start(workload, place.path())?];
    let outputs = twins.map(Child::wait_with_output);
    let mut succeeded = 0;
    for output in outputs {
        let output = output?;
        succeeded += usize::from(output.status.success());
        if output.status.code().is_none_or(|code| code == 101) {
            return Err(format!("{}, two at once:\n{}", workload.name, errors(&output)).into());
        }
    }
    if succeeded == 0 {
        return Err(format!("{}: of two at once none succeeds", workload.name).into());
    }
    check(expected, workload, place.path(), "two at once")
}

fn ends_within(child: &mut Child, time: Duration) -> std::io::Result<bool> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if child.try_wait()?.is_some() {
            return Ok(true);
        }
        sleep(Duration::from_millis(2));
    }
    Ok(false)
}
