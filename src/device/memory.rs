//! The free memory of GPUs, which Burn does not tell.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A driver that is broken may never answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of memory that are free on the GPU of this name; known for NVIDIA's, where its driver's
/// `nvidia-smi` answers. Of several GPUs of one name, the least.
pub fn gpu_memory(name: &str) -> Option<u64> {
    let query = ["--query-gpu=name,memory.free", "--format=csv,noheader,nounits"];
    let mut command = Command::new("nvidia-smi");
    least_free(&output_in_time(command.args(query))?, name)
}

/// From lines such as `NVIDIA H100, 80000`, in MiB.
fn least_free(text: &str, name: &str) -> Option<u64> {
    let free = |line: &str| {
        let (gpu, mebibytes) = line.rsplit_once(',')?;
        // Graphics APIs add to the name.
        let is_named = name.contains(gpu.trim());
        is_named.then(|| mebibytes.trim().parse::<u64>().ok()).flatten()
    };
    text.lines().filter_map(free).min()?.checked_mul(1 << 20)
}

fn output_in_time(command: &mut Command) -> Option<String> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let (mut child, start) = (command.spawn().ok()?, Instant::now());
    // The answer is some lines, so the pipe never fills before the end.
    let status = loop {
        match child.try_wait().ok()? {
            Some(status) => break status,
            None if start.elapsed() > PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
            None => sleep(Duration::from_millis(10)),
        }
    };
    let mut text = String::new();
    child.stdout.take()?.take(1 << 20).read_to_string(&mut text).ok()?;
    status.success().then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_the_named_gpus_counts() {
        let text = "NVIDIA H100 80GB HBM3, 80000\nNVIDIA H100 80GB HBM3, 7\nTesla T4, [N/A]\n";
        assert_eq!(least_free(text, "NVIDIA H100 80GB HBM3"), Some(7 << 20));
        assert_eq!(least_free(text, "NVIDIA H100 80GB HBM3 (Vulkan)"), Some(7 << 20));
        assert_eq!(least_free(text, "Tesla T4"), None);
        assert_eq!(least_free("", "Tesla T4"), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_program_that_fails_is_no_answer() {
        assert_eq!(output_in_time(&mut Command::new("false")), None);
        assert_eq!(output_in_time(Command::new("echo").arg("x")).as_deref(), Some("x\n"));
        assert_eq!(output_in_time(&mut Command::new("no-such-program-here")), None);
    }
}
