//! The findings of `doctor`, as JSON and as text.

use std::fmt::{Error, Write};
use std::path::PathBuf;

use indicatif::{DecimalBytes, HumanCount};
use mllmseg::machine::Cpu;
use serde::Serialize;

use super::fit::{DtypeFit, ModelFit};

/// What there is.
#[derive(Debug, Serialize)]
pub struct Report {
    pub version: &'static str,
    pub cpu: Cpu,
    pub free_memory_bytes: Option<u64>,
    pub devices: Vec<Device>,
    /// Cargo features of the kinds of devices that this build lacks.
    pub not_built_in: Vec<String>,
    /// A GPU that this build cannot use.
    pub idle_gpu: Option<String>,
    /// The device that was asked for, and the one that this means.
    pub asked: String,
    pub selected: String,
    pub trial: Option<Trial>,
    pub folders: Vec<Folder>,
    pub models: Vec<ModelFit>,
    pub problems: Vec<String>,
}

/// A device of this machine.
#[derive(Debug, Serialize)]
pub struct Device {
    pub id: String,
    pub name: String,
    /// The cargo feature that it needs; none for the CPU.
    pub feature: Option<String>,
    pub is_hardware_gpu: bool,
    /// Free memory of a GPU, where known.
    pub memory_bytes: Option<u64>,
}

/// A folder, and the room on its disk.
#[derive(Debug, Serialize)]
pub struct Folder {
    pub what: &'static str,
    pub path: PathBuf,
    pub free_bytes: Option<u64>,
}

/// An expression of a drawn scene, and how well its mask was found.
#[derive(Debug, Serialize)]
pub struct Trial {
    pub expression: String,
    pub iou: f64,
    pub seconds: f64,
}

impl Report {
    /// The text for people.
    pub fn text(&self) -> Result<String, Error> {
        let mut text = String::new();
        let size = |bytes: Option<u64>| match bytes {
            Some(bytes) => DecimalBytes(bytes).to_string(),
            None => "unknown".into(),
        };
        writeln!(text, "mllmseg {}", self.version)?;
        let Cpu { name, cores, simd } = &self.cpu;
        writeln!(text, "\nCPU: {name}, {cores} cores, {}", simd.join(", "))?;
        writeln!(text, "free memory: {}", size(self.free_memory_bytes))?;
        writeln!(text, "\ndevices")?;
        for device in &self.devices {
            let what = match (&device.feature, device.is_hardware_gpu) {
                (None, _) => "every build has it".into(),
                (Some(feature), true) => {
                    format!("feature {feature}, free memory {}", size(device.memory_bytes))
                }
                (Some(feature), false) => format!("feature {feature}, computed by the CPU"),
            };
            writeln!(text, "  {:<10} {} ({what})", device.id, device.name)?;
        }
        if !self.not_built_in.is_empty() {
            writeln!(text, "  not in this build: features {}", self.not_built_in.join(", "))?;
        }
        if let Some(line) = &self.idle_gpu {
            writeln!(text, "  {line}")?;
        }
        writeln!(text, "  --device {} takes {}", self.asked, self.selected)?;
        if let Some(Trial { expression, iou, seconds }) = &self.trial {
            writeln!(
                text,
                "  {}: {expression:?} in a drawn scene found with IoU {iou:.3} in {seconds:.2} s",
                self.selected
            )?;
        }
        writeln!(text, "\nfolders")?;
        for Folder { what, path, free_bytes } in &self.folders {
            writeln!(text, "  {what:<18} {} ({} free)", path.display(), size(*free_bytes))?;
        }
        self.write_models(&mut text)?;
        for problem in &self.problems {
            writeln!(text, "\nproblem: {problem}")?;
        }
        Ok(text)
    }

    /// A table with a column for each option; all models have the same.
    fn write_models(&self, text: &mut String) -> Result<(), Error> {
        let Some(first) = self.models.first() else { return Ok(()) };
        let note = match first.dtypes.iter().any(|dtype| dtype.fits.is_none()) {
            true => "how much is free is not known",
            false => "in brackets: more than is free",
        };
        writeln!(text, "\nmodels on {}: the memory that loading takes ({note})", self.selected)?;
        write!(text, "  {:<16} {:>13}", "", "parameters")?;
        for DtypeFit { option, .. } in &first.dtypes {
            write!(text, "  {option:>15}")?;
        }
        for ModelFit { name, parameters, dtypes } in &self.models {
            write!(text, "\n  {name:<16} {:>13}", HumanCount(*parameters as u64).to_string())?;
            for DtypeFit { bytes, fits, .. } in dtypes {
                let size = DecimalBytes(*bytes).to_string();
                let size = if *fits == Some(false) { format!("({size})") } else { size };
                write!(text, "  {size:>15}")?;
            }
        }
        writeln!(text)
    }
}
