//! The small files beside the weights.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use mllmseg_data::files::FileError;
use mllmseg_model::config::Layout;

use super::error::ConvertError;
use super::processor;

/// What is copied as it is: tokenizer files, the published Python code, generation and image
/// settings, chat templates.
const ENDINGS: [&str; 5] = ["json", "model", "txt", "py", "jinja"];
/// What is not: these say that there are adapters, name other weights, or tell of a training.
const LEFT_OUT: [&str; 3] = ["config.json", "trainer_state.json", "all_results.json"];
/// The largest of these files, in bytes; tokenizer files have about 20 MB at most.
const MAX_BYTES: u64 = 256 << 20;

/// Copies them from a folder of one layout to one of another, without the Python code and the processor's
/// files that only the old one needs.
pub(super) fn copy(
    input: &Path,
    folder: &Path,
    [from, to]: [Layout; 2],
    keeps_adapter: bool,
) -> Result<(), ConvertError> {
    for entry in fs::read_dir(input).map_err(FileError::at(input))? {
        let path = entry.map_err(FileError::at(input))?.path();
        let Some(file_name) = path.file_name() else { continue };
        let (name, ending) =
            (file_name.to_string_lossy(), path.extension().and_then(OsStr::to_str));
        let is_of_old_layout =
            from != to && (ending == Some("py") || processor::FILES.contains(&&*name));
        if !ending.is_some_and(|ending| ENDINGS.contains(&ending))
            || LEFT_OUT.contains(&&*name)
            || name.ends_with(".index.json")
            || (name == "adapter_config.json" && !keeps_adapter)
            || is_of_old_layout
        {
            continue;
        }
        let about = fs::metadata(&path).map_err(FileError::at(&path))?;
        if !about.is_file() {
            continue;
        }
        if about.len() > MAX_BYTES {
            return Err(ConvertError::TooLarge(path, about.len(), MAX_BYTES));
        }
        fs::copy(&path, folder.join(file_name)).map_err(FileError::at(&path))?;
    }
    Ok(())
}
