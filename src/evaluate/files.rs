//! Files that appear whole or not at all.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::EvalError;

/// Writes a file by `write` beside `path` and then puts it in its place.
pub(super) fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&fs::File>) -> Result<(), EvalError>,
) -> Result<(), EvalError> {
    let folder = folder_of(path);
    fs::create_dir_all(&folder).map_err(EvalError::io(&folder))?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".mllmseg-");
    #[cfg(unix)]
    {
        // As any new file; the system's mask still applies.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let file = builder.tempfile_in(&folder).map_err(EvalError::io(path))?;
    let mut writer = BufWriter::new(file.as_file());
    write(&mut writer)?;
    writer.flush().map_err(EvalError::io(path))?;
    drop(writer);
    file.as_file().sync_all().map_err(EvalError::io(path))?;
    file.persist(path).map_err(|error| EvalError::io(path)(error.error))?;
    Ok(())
}

/// The folder that a file is in.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
