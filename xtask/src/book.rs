//! `cargo xtask book`: the pages of `docs/book` by mdBook, in `target/book` or beside the page with the model
//! inside.

use std::error::Error;
use std::path::Path;
use std::process::Command;

use crate::tool::is_installed;

/// What builds the pages.
pub const MDBOOK: &str = "mdbook";

/// Builds the pages in `target/book`, or else in `beside`, a folder beside that of the page with the model
/// inside: there the model answers in the chapters.
///
/// # Errors
/// Without mdBook, or when it fails.
pub fn build(beside: Option<&Path>) -> Result<(), Box<dyn Error>> {
    if !is_installed(MDBOOK) {
        return Err("there is no mdbook command; install it: cargo install --locked mdbook".into());
    }
    let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/book");
    let mut command = Command::new(MDBOOK);
    command.arg("build").arg(&book);
    if let Some(folder) = beside {
        command.arg("--dest-dir").arg(folder);
        command.env("MDBOOK_OUTPUT__HTML__ADDITIONAL_JS", r#"["live.js"]"#);
    }
    let status = command.status()?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("mdbook build {} failed ({status})", book.display()).into()),
    }
}
