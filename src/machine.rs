//! Processor, memory and disk of this machine, where they can be known.

use std::path::Path;

use serde::Serialize;

/// The processor.
#[derive(Debug, Clone, Serialize)]
pub struct Cpu {
    /// What it calls itself, or its architecture.
    pub name: String,
    /// Cores that this program may use.
    pub cores: usize,
    /// Instruction sets for many numbers at once that it has.
    pub simd: Vec<&'static str>,
}

/// The processor of this machine.
pub fn cpu() -> Cpu {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name"));
    let name =
        name.map_or(std::env::consts::ARCH, |rest| rest.trim_start_matches(['\t', ' ', ':']));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Cpu { name: name.to_owned(), cores, simd: simd() }
}

#[cfg(target_arch = "x86_64")]
fn simd() -> Vec<&'static str> {
    let sets = [
        ("SSE4.2", is_x86_feature_detected!("sse4.2")),
        ("AVX", is_x86_feature_detected!("avx")),
        ("AVX2", is_x86_feature_detected!("avx2")),
        ("FMA", is_x86_feature_detected!("fma")),
        ("AVX-512F", is_x86_feature_detected!("avx512f")),
    ];
    sets.into_iter().filter_map(|(name, is_there)| is_there.then_some(name)).collect()
}

/// Every processor of this architecture has it.
#[cfg(target_arch = "aarch64")]
fn simd() -> Vec<&'static str> {
    vec!["NEON"]
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn simd() -> Vec<&'static str> {
    Vec::new()
}

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
        let mut df = std::process::Command::new("df");
        let df = df.args(["--output=avail", "-k"]).arg(folder.path());
        let output = String::from_utf8(df.output().unwrap().stdout).unwrap();
        let expected: f64 = output.lines().nth(1).unwrap().trim().parse().unwrap();
        let found = free_disk(folder.path()).unwrap() as f64 / 1024.0;
        assert!((found - expected).abs() < 0.05 * expected + 1e5, "{found} and {expected} KiB");
        assert_eq!(free_disk(&folder.path().join("absent")), None);
    }
}
