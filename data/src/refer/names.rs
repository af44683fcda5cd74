//! Image files by the names that tools give them: `./a.jpg`, `b\a.jpg`, `/data/b/a.jpg`, `A.JPG`.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::leniency::{Leniency, note};

/// Entries of a folder that are looked through for a name in other upper and lower case.
const MAX_ENTRIES: usize = 2_000_000;

/// The longest name, in bytes: as long as a path may be on Linux.
const MAX_NAME: usize = 4096;

/// The files under a folder. No name leads out of it.
#[derive(Debug)]
pub(super) struct Names {
    folder: PathBuf,
    /// Without it there is nothing to compare with: scoring needs no images.
    is_there: bool,
    /// Paths by their lower case; none where two files share it.
    by_lower_case: OnceCell<HashMap<String, Option<String>>>,
}

impl Names {
    pub fn under(folder: &Path) -> Self {
        let (folder, by_lower_case) = (folder.to_owned(), OnceCell::new());
        Self { is_there: folder.is_dir(), folder, by_lower_case }
    }

    /// The path of a file under the folder: the name as it is, else its longest end that is there, else that in other
    /// upper and lower case. A name that nothing is found for stays, without what no path needs.
    pub fn find(&self, name: &str) -> Result<Box<str>, String> {
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(format!("a relative path of at most {MAX_NAME} bytes expected"));
        }
        let is_plain =
            Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        let is_plain = is_plain && !name.contains("./") && !name.contains("//");
        let is_file = |name: &str| self.is_there && self.folder.join(name).is_file();
        if is_plain && (is_file(name) || !self.is_there && !name.contains(['\\', ':'])) {
            return Ok(name.into());
        }
        let parts: Vec<&str> =
            name.split(['/', '\\']).filter(|part| !matches!(*part, "" | ".")).collect();
        if parts.contains(&"..") || parts.is_empty() {
            return Err("a relative path without `..` expected".into());
        }
        // A drive such as `C:` is no folder's name on the systems that have drives.
        let parts =
            if parts[0].ends_with(':') && parts.len() > 1 { &parts[1..] } else { &parts[..] };
        let ends = || (0..parts.len()).map(|start| parts[start..].join("/"));
        let whole = parts.join("/");
        let (found, kind) = match ends().find(|end| is_file(end)) {
            Some(found) => (found, Leniency::FileName),
            None => match ends().find_map(|end| self.in_other_case(&end)) {
                Some(found) => (found, Leniency::LetterCase),
                None => (whole, Leniency::FileName),
            },
        };
        if *found != *name {
            note(kind);
        }
        Ok(found.into())
    }

    fn in_other_case(&self, name: &str) -> Option<String> {
        if !self.is_there {
            return None;
        }
        let all = self.by_lower_case.get_or_init(|| by_lower_case(&self.folder));
        all.get(&name.to_lowercase()).cloned().flatten()
    }
}

/// All files below a folder. What cannot be read is not there; links to folders are not followed.
fn by_lower_case(folder: &Path) -> HashMap<String, Option<String>> {
    let mut files = HashMap::new();
    let mut folders = vec![String::new()];
    let mut entries_left = MAX_ENTRIES;
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(folder.join(&inner)).into_iter().flatten().flatten() {
            entries_left = entries_left.saturating_sub(1);
            let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) else {
                continue;
            };
            let path = if inner.is_empty() { name } else { format!("{inner}/{name}") };
            if kind.is_dir() {
                folders.push(path);
            } else {
                let others = files.entry(path.to_lowercase());
                others.and_modify(|other| *other = None).or_insert(Some(path));
            }
        }
        if entries_left == 0 {
            break;
        }
    }
    files
}
