//! Disks that are full, or may not be written: small file systems in memory.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::check::{check, check_absent_or, errors, start};
use super::workload::{Product, Workload};

/// Sizes of the full disks, as shares of the product's size.
const SHARES: [f64; 6] = [0.0, 0.1, 0.4, 0.8, 0.99, 1.2];
/// A disk on which everything has room.
const ROOM: u64 = 4 << 30;

/// A mounted disk, which is unmounted in the end.
struct Disk {
    folder: TempDir,
}

impl Disk {
    fn mount(options: &str) -> Result<Self, Box<dyn Error>> {
        let folder = TempDir::new()?;
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(folder.path()))?;
        Ok(Self { folder })
    }

    fn remount(&self, options: &str) -> Result<(), Box<dyn Error>> {
        run(Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(self.folder.path()))
    }

    fn path(&self) -> PathBuf {
        self.folder.path().into()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What cannot be unmounted now goes with the machine's next start.
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}

/// A command on disks of several sizes, then with room; and on one without the right to write. Returns how many
/// disks there were.
pub fn run_all(workload: &Workload, expected: &Product) -> Result<usize, Box<dyn Error>> {
    let size: usize = expected.values().map(Vec::len).sum();
    for share in SHARES {
        let disk = Disk::mount(&format!("size={}", (size as f64 * share) as u64 + 4096))?;
        disturbed(workload, expected, &disk.path(), "a full disk")?;
        disk.remount(&format!("size={ROOM}"))?;
        finished(workload, expected, &disk.path(), "a full disk")?;
    }
    let disk = Disk::mount("ro")?;
    disturbed(workload, expected, &disk.path(), "a disk without the right to write")?;
    disk.remount("rw")?;
    finished(workload, expected, &disk.path(), "a disk without the right to write")?;
    Ok(SHARES.len() + 1)
}

/// The command may fail, but not by a panic, and it must say why.
fn disturbed(
    workload: &Workload,
    expected: &Product,
    place: &Path,
    on: &str,
) -> Result<(), Box<dyn Error>> {
    let output = start(workload, place)?.wait_with_output()?;
    let text = errors(&output);
    if !output.status.success() && (output.status.code() == Some(101) || !text.contains("error: "))
    {
        return Err(format!("{} on {on}, {}:\n{text}", workload.name, output.status).into());
    }
    check_absent_or(expected, workload, place, on)
}

fn finished(
    workload: &Workload,
    expected: &Product,
    place: &Path,
    after: &str,
) -> Result<(), Box<dyn Error>> {
    if workload.product(place)?.is_none() {
        let output = start(workload, place)?.wait_with_output()?;
        if !output.status.success() {
            return Err(format!("{} after {after}:\n{}", workload.name, errors(&output)).into());
        }
    }
    check(expected, workload, place, after)
}

fn run(command: &mut Command) -> Result<(), Box<dyn Error>> {
    let output = command.output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {}", errors(&output)).into()),
    }
}
