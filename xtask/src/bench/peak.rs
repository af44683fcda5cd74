//! The most memory that something took.

use mllmseg::device::SelectedDevice;

/// Forgets the most memory that this process has had; Linux can.
pub fn forget() {
    // Where it cannot be forgotten, `peak` counts from the start of the process.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Bytes: of this process since [`forget`], on the CPU where Linux says so, or what is reserved on a
/// GPU.
pub fn peak(device: &SelectedDevice) -> Option<u64> {
    if device.id != "cpu" {
        return device.device.memory_pool_usage().map(|usage| usage.bytes_reserved);
    }
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(1024 * line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?)
}
