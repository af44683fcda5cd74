//! What the commands say: results on standard output, all else on standard error.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write, stderr, stdout};
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use super::CliError;

static QUIET: AtomicBool = AtomicBool::new(false);

/// From now on, errors and warnings only.
pub fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Whether only errors and warnings are wanted.
pub fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// A line or more of the result.
///
/// # Errors
/// If it cannot be written, such as to a full disk. A reader who has closed the pipe (`| head -1`)
/// wants no more, which is no error: files are still to be written.
pub fn print_result(text: impl Display) -> Result<(), CliError> {
    let mut out = stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(format!("standard output cannot be written: {error}").into())
        }
        _ => Ok(()),
    }
}

/// What is good to know.
pub fn note(text: impl Display) {
    if !is_quiet() {
        warn(text);
    }
}

/// What must be known.
pub fn warn(text: impl Display) {
    // Where nobody can read it, there is nobody to tell that.
    let _ = writeln!(stderr(), "{text}");
}

/// Whether someone watches the progress on a terminal.
pub fn is_watched() -> bool {
    stderr().is_terminal() && !is_quiet()
}

/// A progress bar on standard error with one of indicatif's templates.
pub fn progress_bar(template: &str, length: u64) -> ProgressBar {
    if is_quiet() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
