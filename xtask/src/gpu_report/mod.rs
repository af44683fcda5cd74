//! `cargo xtask gpu-report`: what there is to know of a device, as a table and as one file of JSON.
//!
//! Parity on every case of the published implementation and of transformers, the benchmark with PyTorch beside it where a Python has that, and
//! steps of every recipe, also on two devices where there are two. A part that fails is in the report,
//! and the others are done.

mod recipes;

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::{Args, Parser};
use mllmseg::data::files::write_file;
use mllmseg::device::{DeviceChoice, DeviceError, SelectedDevice};
use serde::Serialize;

use crate::bench::{self, Bench};
use crate::parity;
use recipes::Steps;

/// The device, and how much is measured.
#[derive(Args)]
pub struct GpuReport {
    /// cuda[:N], vulkan[:N], wgpu[:N], metal[:N], rocm[:N], cpu or auto
    #[arg(long)]
    device: DeviceChoice,
    /// File of the report
    #[arg(long, value_name = "FILE", default_value = "gpu-report.json")]
    out: PathBuf,
    /// Folder of the reference cases
    #[arg(long, value_name = "DIR", default_value = "tests/reference")]
    cases: PathBuf,
    /// Folder of transformers' and PEFT's cases
    #[arg(long, value_name = "DIR", default_value = "tests/fixtures")]
    fixtures: PathBuf,
    /// A Python; where it has PyTorch, that runs beside
    #[arg(long, value_name = "PYTHON", default_value = "python3")]
    peer: String,
    /// Arguments of `cargo xtask bench` besides device and peer, such as "--runs 5 --images 4"
    #[arg(long, value_name = "ARGUMENTS", default_value = "", allow_hyphen_values = true)]
    bench: String,
}

/// Everything that was measured.
#[derive(Default, Serialize)]
struct Report {
    device: String,
    name: String,
    /// By case.
    parity: Vec<Part<Vec<Compared>>>,
    /// By dtype and work.
    bench: Vec<Part<bench::Report>>,
    /// By recipe.
    recipes: Vec<Part<Steps>>,
}

/// What a part of the report gave, or why it failed.
#[derive(Serialize)]
struct Part<T> {
    name: String,
    outcome: Result<T, String>,
}

/// A tensor beside that of the other implementation.
#[derive(Serialize)]
struct Compared {
    name: String,
    difference: f64,
    tolerance: f64,
}

/// The benchmark's own arguments.
#[derive(Parser)]
#[command(name = "bench", no_binary_name = true)]
struct BenchArguments {
    #[command(flatten)]
    bench: Bench,
}

impl GpuReport {
    /// Measures, prints the table, and writes the file, after each part again. Whether no part failed and
    /// every tensor is within its tolerance.
    pub fn make(&self) -> Result<bool, Box<dyn Error>> {
        let device = self.device.select().map_err(|error| match (&error, self.device) {
            (DeviceError::NotBuilt(..), DeviceChoice::Gpu(kind, _)) => {
                let command = format!("cargo run --release --package xtask --features {kind}");
                format!("{error}. Of this chore: `{command} -- gpu-report --device {kind}`")
            }
            _ => error.to_string(),
        })?;
        let arguments = BenchArguments::try_parse_from(self.bench.split_whitespace())?;
        let peer = has_pytorch(&self.peer, &device).then(|| self.peer.clone());
        if peer.is_none() {
            eprintln!("{} has no PyTorch for this device, or no safetensors: left out", self.peer);
        }
        let bench = Bench { device: self.device, peer, ..arguments.bench };
        let (id, name) = (device.id.clone(), device.name.clone());
        let mut report = Report { device: id, name, ..Report::default() };
        for case in cases(&self.cases)? {
            let name = case.file_name().unwrap_or_default().to_string_lossy().into_owned();
            report.parity.push(Part::of(&name, || Ok(compared(parity::rows(&case, &device)?))));
            report.write(&self.out)?;
        }
        for case in parity::transformers::Case::all(&self.fixtures) {
            report.parity.push(Part::of(&case.to_string(), || Ok(compared(case.rows(&device)?))));
            report.write(&self.out)?;
        }
        for dtype in bench.dtypes(&device)? {
            for &work in &bench.work {
                let bench = Bench { work: vec![work], ..bench.clone() };
                let name = format!("{} in {}", work.name(), dtype.name());
                report.bench.push(Part::of(&name, || bench.report(&device, dtype)));
                report.write(&self.out)?;
            }
        }
        let devices = self.devices(device);
        for (name, devices) in recipes::runs(&devices) {
            report.recipes.push(Part::of(name, || recipes::steps(name, devices, &self.cases)));
            report.write(&self.out)?;
        }
        print!("{report}");
        Ok(report.passes())
    }

    /// The device and the next of its kind, if there is one; the CPU is there as often as one likes.
    fn devices(&self, first: SelectedDevice) -> Vec<SelectedDevice> {
        let next = match self.device {
            DeviceChoice::Gpu(kind, index) => DeviceChoice::Gpu(kind, index + 1).select().ok(),
            DeviceChoice::Cpu => Some(first.clone()),
            DeviceChoice::Auto => None,
        };
        std::iter::once(first).chain(next).collect()
    }
}

impl<T> Part<T> {
    /// Runs a part. Drivers of GPUs may panic.
    fn of(name: &str, run: impl FnOnce() -> Result<T, Box<dyn Error>>) -> Self {
        eprintln!("{name} ...");
        let outcome = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err("panicked: its message is above".into()),
        };
        Self { name: name.into(), outcome }
    }
}

/// Every folder with a `case.json`.
fn cases(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries =
        std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut cases: Vec<_> = paths.filter(|path| path.join("case.json").exists()).collect();
    cases.sort();
    match cases.is_empty() {
        true => {
            Err(format!("{}: no folder with a case.json; name one by --cases", folder.display()))
        }
        false => Ok(cases),
    }
}

fn compared(rows: Vec<parity::Row>) -> Vec<Compared> {
    let compared =
        |parity::Row { name, difference, tolerance, .. }| Compared { name, difference, tolerance };
    rows.into_iter().map(compared).collect()
}

/// Whether a Python can run beside the device.
fn has_pytorch(python: &str, device: &SelectedDevice) -> bool {
    const GPU: &str = "assert torch.cuda.is_available() or torch.backends.mps.is_available()";
    let gpu = if device.id == "cpu" { "" } else { GPU };
    let mut command = Command::new(python);
    command.args(["-c", &format!("import torch, safetensors; {gpu}")]).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

impl Compared {
    /// The difference in tolerances: up to 1 it passes; NaN does not.
    fn of_tolerance(&self) -> f64 {
        self.difference / self.tolerance
    }

    fn passes(&self) -> bool {
        self.difference <= self.tolerance
    }
}

impl Report {
    fn write(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        let text = serde_json::to_vec_pretty(self)?;
        Ok(write_file(path, |file| std::io::Write::write_all(file, &text))?)
    }

    fn passes(&self) -> bool {
        let compare = |part: &Part<Vec<Compared>>| match &part.outcome {
            Ok(rows) => rows.iter().all(Compared::passes),
            Err(_) => false,
        };
        self.parity.iter().all(compare)
            && self.bench.iter().all(|part| part.outcome.is_ok())
            && self.recipes.iter().all(|part| part.outcome.is_ok())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({})", self.device, self.name)?;
        writeln!(f, "\n{:<24}{:>10}{:>28}", "parity", "passed", "worst, in tolerances")?;
        for Part { name, outcome } in &self.parity {
            match outcome {
                Ok(rows) => {
                    let passed = rows.iter().filter(|row| row.passes()).count();
                    let worst =
                        rows.iter().max_by(|a, b| a.of_tolerance().total_cmp(&b.of_tolerance()));
                    let passed = format!("{passed} of {}", rows.len());
                    write!(f, "{name:<24}{passed:>10}")?;
                    match worst {
                        Some(row) => writeln!(f, "{:>28.2}  {}", row.of_tolerance(), row.name)?,
                        None => writeln!(f)?,
                    }
                }
                Err(message) => writeln!(f, "{name:<24}failed: {message}")?,
            }
        }
        for Part { name, outcome } in &self.bench {
            match outcome {
                Ok(report) => write!(f, "\n{report}")?,
                Err(message) => writeln!(f, "\n{name}: failed: {message}")?,
            }
        }
        writeln!(
            f,
            "\n{:<24}{:>10}{:>10}{:>14}{:>10}",
            "recipe", "devices", "images", "s per step", "loss"
        )?;
        for Part { name, outcome } in &self.recipes {
            match outcome {
                Ok(Steps { devices, images, seconds, loss }) => {
                    writeln!(f, "{name:<24}{devices:>10}{images:>10}{seconds:>14.3}{loss:>10.4}")?;
                }
                Err(message) => writeln!(f, "{name:<24}failed: {message}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use mllmseg::device::GpuKind;

    use super::*;

    fn compared(difference: f64) -> Compared {
        Compared { name: "masks".into(), difference, tolerance: 2.0 }
    }

    #[test]
    fn what_failed_is_in_the_table_and_the_rest_beside_it() {
        let mut report = Report { device: "cuda:0".into(), ..Report::default() };
        report.parity.push(Part::of("qwen2", || Ok(vec![compared(1.0), compared(0.5)])));
        assert!(report.passes());
        report.recipes.push(Part::of("tiny", || Err("no such thing".into())));
        report.recipes.push(Part::of("res-paper", || panic!("the driver is gone")));
        assert!(!report.passes());
        let text = report.to_string();
        for expected in ["2 of 2", "0.50  masks", "failed: no such thing", "failed: panicked"] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        report.recipes.clear();
        report.parity.push(Part::of("other", || Ok(vec![compared(f64::NAN), compared(3.0)])));
        assert!(!report.passes());
        assert!(report.to_string().contains("0 of 2"));
    }

    /// No machine has a hundredth device of a kind, and few builds have all kinds.
    #[test]
    fn a_device_that_is_not_there_is_refused_before_anything_is_done() {
        #[derive(Parser)]
        struct Arguments {
            #[command(flatten)]
            report: GpuReport,
        }

        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("report.json");
        for device in ["cuda:99", "rocm:99"] {
            let arguments = ["x", "--device", device, "--out"].map(OsStr::new);
            let arguments = arguments.into_iter().chain([out.as_os_str()]);
            let message = Arguments::parse_from(arguments).report.make().unwrap_err().to_string();
            let feature = device.split_once(':').unwrap().0;
            let is_built_in = feature.parse::<GpuKind>().unwrap().is_built_in();
            let next_step = format!("--package xtask --features {feature}");
            assert_eq!(message.contains(&next_step), !is_built_in, "{message}");
            assert!(message.contains("Devices here: cpu"), "{message}");
            assert!(!out.exists());
        }
    }

    #[test]
    fn a_folder_without_cases_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(cases(folder.path()).unwrap_err().contains("--cases"));
        assert!(cases(&folder.path().join("absent")).unwrap_err().contains("absent"));
    }
}
