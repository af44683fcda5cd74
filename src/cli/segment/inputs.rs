//! The images that are asked for.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use mllmseg::data::image::ENDINGS;

use super::CliError;
use crate::cli::picture::{is_stdin, stem};
use crate::cli::terminal::note;

/// An image and what its outputs are called.
#[derive(Debug, PartialEq)]
pub struct Input {
    /// The file.
    pub path: PathBuf,
    /// The beginning of its outputs' names, different for every image.
    pub name: String,
}

/// Files as they are, folders as the images right inside them, in the order of their names.
pub fn collect_inputs(roots: &[&Path]) -> Result<Vec<Input>, CliError> {
    let mut paths = Vec::new();
    for root in roots {
        if is_stdin(root) {
            if paths.iter().any(|path: &PathBuf| is_stdin(path)) {
                return Err("standard input (`-`) is one picture; name it once".into());
            }
            paths.push(root.to_path_buf());
        } else if root.is_dir() {
            let before = paths.len();
            paths.extend(images_in(root)?);
            if paths.len() == before {
                let expected = ENDINGS.join(", ");
                return Err(format!(
                    "{}: no pictures in this folder; expected files ending in {expected}",
                    root.display()
                )
                .into());
            }
        } else if root.exists() {
            paths.push(root.to_path_buf());
        } else {
            return Err(format!("{}: no such picture or folder", root.display()).into());
        }
    }
    Ok(named(paths))
}

/// The images of a folder. Hidden files, such as a Mac's `._a.png`, are none; other files are named.
fn images_in(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let unreadable = |error: std::io::Error| format!("{}: {error}", folder.display());
    let (mut images, mut others) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if name.starts_with('.') || !path.is_file() {
            continue;
        }
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_lowercase);
        match ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) {
            true => images.push(path),
            false => others.push(name),
        }
    }
    images.sort();
    others.sort();
    if !others.is_empty() {
        note(left_out(folder, &others));
    }
    Ok(images)
}

fn left_out(folder: &Path, others: &[String]) -> String {
    const NAMED: usize = 5;
    let (count, named) = (others.len(), &others[..others.len().min(NAMED)]);
    let more = if count > NAMED { ", ..." } else { "" };
    let files = if count == 1 { "file is no picture" } else { "files are no pictures" };
    format!("{}: {count} {files} and left out: {}{more}", folder.display(), named.join(", "))
}

/// Outputs are named for the file without its ending, with the ending where two share the former, and
/// with a number too where two share both.
fn named(paths: Vec<PathBuf>) -> Vec<Input> {
    let file_name =
        |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut stems: HashMap<String, usize> = HashMap::new();
    for path in &paths {
        *stems.entry(stem(path)).or_default() += 1;
    }
    let mut taken: HashMap<String, usize> = HashMap::new();
    let inputs = paths.into_iter().map(|path| {
        let stem = stem(&path);
        let name = if stems[&stem] == 1 { stem } else { file_name(&path) };
        let uses = taken.entry(name.clone()).or_default();
        *uses += 1;
        let name = if *uses == 1 { name } else { format!("{name}-{uses}") };
        Input { path, name }
    });
    inputs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_every_format_that_is_read() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.gif", "b.TIF", "c.tiff", "d.jpeg", "e.txt", ".f.png"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let images = images_in(folder.path()).unwrap();
        let names: Vec<_> = images.iter().map(|path| path.file_name().unwrap()).collect();
        assert_eq!(names, ["a.gif", "b.TIF", "c.tiff", "d.jpeg"]);
    }

    #[test]
    fn outputs_never_share_a_name() {
        let paths = ["a/x.jpg", "a/y.jpg", "b/y.png", "c/y.jpg"].map(PathBuf::from);
        let names: Vec<_> = named(paths.to_vec()).into_iter().map(|input| input.name).collect();
        assert_eq!(names, ["x", "y.jpg", "y.png", "y.jpg-2"]);
    }
}
