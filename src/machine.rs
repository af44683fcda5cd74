//! Memory and disk of this machine, where they can be known.

use std::path::Path;

/// Bytes of memory that programs can still take.
///
/// On Linux the kernel's estimate, or less where a control group (a container) has a lower limit.
/// Elsewhere unknown.
pub fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let free = kibibytes(&text, "MemAvailable:")? << 10;
    let read = |name| std::fs::read_to_string(format!("/sys/fs/cgroup/memory.{name}")).ok();
    let number = |name| read(name)?.trim().parse::<u64>().ok();
    let in_group = number("max").zip(number("current")).map(|(max, now)| max.saturating_sub(now));
    Some(in_group.map_or(free, |in_group| in_group.min(free)))
}

/// The value of a line of `/proc/meminfo`.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Bytes that this user may still write to the disk of a folder that is there.
#[cfg(unix)]
pub fn free_disk(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

/// Unknown here.
#[cfg(not(unix))]
pub fn free_disk(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_numbers_are_read() {
        let text = "MemTotal:       16384 kB\nMemFree:  1 kB\nMemAvailable:    8192 kB\n";
        assert_eq!(kibibytes(text, "MemAvailable:"), Some(8192));
        assert_eq!(kibibytes(text, "Swap:"), None);
        assert_eq!(kibibytes("MemAvailable: many kB", "MemAvailable:"), None);
    }

    /// `df` counts in blocks of 1024 bytes; others write to the disk meanwhile.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_disk_has_as_much_room_as_df_says() {
        let folder = tempfile::tempdir().unwrap();
        let df = std::process::Command::new("df").args(["--output=avail", "-k"]).arg(folder.path());
        let output = String::from_utf8({ df }.output().unwrap().stdout).unwrap();
        let expected: f64 = output.lines().nth(1).unwrap().trim().parse().unwrap();
        let found = free_disk(folder.path()).unwrap() as f64 / 1024.0;
        assert!((found - expected).abs() < 0.05 * expected + 1e5, "{found} and {expected} KiB");
        assert_eq!(free_disk(&folder.path().join("absent")), None);
    }
}
