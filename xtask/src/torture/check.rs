//! A command is started, and its product compared with that of an undisturbed run.

use std::error::Error;
use std::path::Path;
use std::process::{Child, Output, Stdio};

use super::workload::{Product, Workload};

pub fn start(workload: &Workload, place: &Path) -> std::io::Result<Child> {
    let mut command = (workload.command)(place);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()
}

/// The product must be there and as expected.
pub fn check(
    expected: &Product,
    workload: &Workload,
    place: &Path,
    after: &str,
) -> Result<(), Box<dyn Error>> {
    match workload.product(place)? {
        Some(product) => same(expected, &product, workload.name, after),
        None => Err(format!("{}: no product after {after}", workload.name).into()),
    }
}

/// The product may be missing, but not half there.
pub fn check_absent_or(
    expected: &Product,
    workload: &Workload,
    place: &Path,
    after: &str,
) -> Result<(), Box<dyn Error>> {
    let product = workload.product(place)?;
    product.map_or(Ok(()), |product| same(expected, &product, workload.name, after))
}

fn same(
    expected: &Product,
    found: &Product,
    name: &str,
    after: &str,
) -> Result<(), Box<dyn Error>> {
    if expected == found {
        return Ok(());
    }
    let differs = |path: &&String| expected.get(*path) != found.get(*path);
    let paths: Vec<&String> = expected.keys().chain(found.keys()).filter(differs).collect();
    Err(format!("{name}: after {after} these files differ: {paths:?}").into())
}

pub fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
