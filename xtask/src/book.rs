//! `cargo xtask book`: the pages of `docs/book` by mdBook, in `target/book`.

use std::error::Error;
use std::path::Path;
use std::process::Command;

use crate::tool::is_installed;

/// Builds the pages.
///
/// # Errors
/// Without mdBook, or when it fails.
pub fn build() -> Result<(), Box<dyn Error>> {
    if !is_installed("mdbook") {
        return Err("there is no mdbook command; install it: cargo install --locked mdbook".into());
    }
    let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/book");
    let status = Command::new("mdbook").arg("build").arg(&book).status()?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("mdbook build {} failed ({status})", book.display()).into()),
    }
}
