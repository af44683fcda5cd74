//! The files of a reference case (`tests/reference/README.md`).

use std::fmt::Display;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The parts of `case.json` that are used.
#[derive(Deserialize)]
pub(crate) struct Case {
    /// Seed of the weights.
    pub seed: u32,
    pub question: String,
    pub answer: String,
    /// 1 for each expression that is rejected, else 0.
    #[serde(default)]
    pub rej: Vec<u8>,
}

impl Case {
    pub(crate) fn read(case: &Path) -> Result<Self, String> {
        read_json(&case.join("case.json"), "an object with seed, question and answer")
    }
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path, expected: &str) -> Result<T, String> {
    let text = std::fs::read(path).map_err(at(path))?;
    serde_json::from_slice(&text).map_err(|error| at(path)(format!("expected {expected}: {error}")))
}

/// The error with the file.
pub(crate) fn at<E: Display>(path: &Path) -> impl FnOnce(E) -> String {
    move |error| format!("{}: {error}", path.display())
}
