//! Tensors that do not fit a configuration, told in a few lines.

use std::path::Path;

use super::error::CheckpointError;

/// What does not fit, by kind.
#[derive(Debug, Default)]
pub(super) struct Misfits {
    /// Names that the configuration asks for.
    pub missing: Vec<String>,
    /// Names and shapes that it does not know.
    pub unexpected: Vec<String>,
    /// Other problems, each with its tensor.
    pub others: Vec<String>,
}

impl Misfits {
    /// An error if there are any: a line for each kind, with its first tensors and how many more.
    pub fn refuse(self, dir: &Path) -> Result<(), CheckpointError> {
        let Self { missing, unexpected, mut others } = self;
        others.sort();
        let kinds = [
            ("missing", &missing, ""),
            ("unexpected", &unexpected, ": config.json has no such weight"),
            ("", &others, ""),
        ];
        let lines = kinds.iter().filter_map(|(kind, items, why)| {
            let (shown, more) = items.split_at(items.len().min(3));
            let shown = match *kind {
                "" => shown.join("; "),
                _ => format!("{kind} tensor {}", shown.join(", ")),
            };
            let more = match more.len() {
                0 => String::new(),
                count => format!(" and {count} more"),
            };
            (!items.is_empty()).then(|| format!("{shown}{more}{why}"))
        });
        let problems: Vec<_> = lines.collect();
        match problems.is_empty() {
            true => Ok(()),
            false => Err(CheckpointError::Mismatch { dir: dir.to_path_buf(), problems }),
        }
    }
}
