//! Programs of others that some chores need.

use std::process::{Command, Stdio};

/// Whether a program is there and tells its version.
pub fn is_installed(program: &str) -> bool {
    let mut command = Command::new(program);
    let command = command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
