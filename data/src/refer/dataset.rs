//! The published data sets: their names, and where their files lie under the root folder.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::ReferError;

/// A published data set of referring expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dataset {
    /// `refcoco`.
    RefCoco,
    /// `refcoco+`: no words of place.
    RefCocoPlus,
    /// `refcocog`: longer expressions.
    RefCocoG,
    /// `refclef` (ReferItGame), on the SAIAPR TC-12 images; its annotation ids are text.
    RefClef,
    /// `grefcoco`: expressions with several targets, or none.
    GRefCoco,
}

impl Dataset {
    /// Every data set.
    pub const ALL: [Self; 5] =
        [Self::RefCoco, Self::RefCocoPlus, Self::RefCocoG, Self::RefClef, Self::GRefCoco];

    /// The published name, which is also the name of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::RefCoco => "refcoco",
            Self::RefCocoPlus => "refcoco+",
            Self::RefCocoG => "refcocog",
            Self::RefClef => "refclef",
            Self::GRefCoco => "grefcoco",
        }
    }

    /// Whose split the results are published on: `umd` for refcocog, `unc` for the others.
    pub fn default_split_by(self) -> &'static str {
        if self == Self::RefCocoG { "umd" } else { "unc" }
    }

    /// The folder of the images, under `root`.
    pub fn images_folder(self, root: &Path) -> PathBuf {
        root.join("images").join(match self {
            Self::RefClef => "saiapr_tc-12",
            _ => "mscoco/images/train2014",
        })
    }

    /// The file of the annotations, under `root`.
    pub fn instances_file(self, root: &Path) -> PathBuf {
        root.join(self.name()).join("instances.json")
    }

    /// The file of the expressions, under `root`: the pickle if it is there, else the JSON.
    ///
    /// # Errors
    /// If `split_by` is not made of letters, digits, `_` and `-`, or if neither file exists (the
    /// error lists those that do).
    pub fn refs_file(self, root: &Path, split_by: &str) -> Result<PathBuf, ReferError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if split_by.is_empty() || !split_by.chars().all(plain) {
            return Err(ReferError::BadSplitBy { name: split_by.escape_debug().to_string() });
        }
        let folder = root.join(self.name());
        let stem = if self == Self::GRefCoco { "grefs" } else { "refs" };
        let pickle = folder.join(format!("{stem}({split_by}).p"));
        let json = folder.join(format!("{stem}({split_by}).json"));
        if pickle.is_file() {
            Ok(pickle)
        } else if json.is_file() {
            Ok(json)
        } else {
            Err(ReferError::NoRefsFile { pickle, json, found: refs_files_in(&folder) })
        }
    }
}

/// The refs files of a folder, for a message.
fn refs_files_in(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).into_iter().flatten().take(1000);
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.contains("refs(") && (name.ends_with(".p") || name.ends_with(".json")))
        .take(10)
        .collect();
    names.sort();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Dataset {
    type Err = ReferError;

    fn from_str(name: &str) -> Result<Self, ReferError> {
        Self::ALL.into_iter().find(|dataset| dataset.name() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|dataset| dataset.name()).collect();
            ReferError::UnknownDataset { name: name.to_owned(), known: known.join(", ") }
        })
    }
}
