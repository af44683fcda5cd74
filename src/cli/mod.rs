//! The commands. Each file holds one: its arguments, and what it does with the library.

mod answers;
pub mod check;
pub mod check_data;
mod checkpoint;
pub mod completions;
pub mod convert;
pub mod doctor;
pub mod download;
pub mod eval;
pub mod explain;
pub mod export;
pub mod info;
pub mod merge_lora;
mod model;
mod picture;
mod recipe_flags;
pub mod score;
pub mod segment;
pub mod serve;
pub mod serve_device;
pub mod synth;
pub mod terminal;
pub mod train;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// What a command fails with: one line or more that say what is wrong and what to do.
pub type CliError = Box<dyn std::error::Error>;

/// Runs a command; a panic, which a failing device driver can raise, becomes an error.
pub fn guarded(command: impl FnOnce() -> Result<(), CliError>) -> Result<(), CliError> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = catch_unwind(AssertUnwindSafe(command));
    std::panic::set_hook(hook);
    outcome.unwrap_or_else(|payload| {
        let reason = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("no reason given");
        Err(format!(
            "the computation stopped: {reason}\nIf the device is out of memory, take --device cpu \
             or a smaller model; else this is a mistake of mllmseg: please report it"
        )
        .into())
    })
}

/// Makes a folder for images and tries it, before anything expensive is done.
pub fn make_output_folder(folder: &Path) -> Result<(), CliError> {
    let unusable = |error: std::io::Error| {
        format!(
            "{}: cannot write here: {error}; choose another folder with --out",
            folder.display()
        )
    };
    std::fs::create_dir_all(folder).map_err(unusable)?;
    tempfile::tempfile_in(folder).map_err(unusable)?;
    Ok(())
}
