//! The data sets: their names, and where the files of the published ones lie under the root folder.

use std::path::{Path, PathBuf};

use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use super::ReferError;
use crate::image::Orientation;

/// A data set of referring expressions.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "lowercase", parse_err_ty = ReferError, parse_err_fn = unknown)]
pub enum Dataset {
    /// `refcoco`.
    RefCoco,
    /// `refcoco+`: expressions without words for a position.
    #[strum(serialize = "refcoco+")]
    RefCocoPlus,
    /// `refcocog`: longer expressions.
    RefCocoG,
    /// `refclef` (ReferItGame), on the SAIAPR TC-12 images; its annotation ids are text.
    RefClef,
    /// `grefcoco`: expressions with several targets, or none.
    GRefCoco,
    /// `refcoco-m`: the validation split of RefCOCO with new masks, in COCO's run lengths.
    #[strum(serialize = "refcoco-m")]
    RefCocoM,
    /// `rrsisd`: RRSIS-D, satellite images.
    RrsisD,
    /// `ref-zom`: Ref-ZOM, expressions with no target, one or many.
    #[strum(serialize = "ref-zom")]
    RefZom,
    /// `own`: a folder of images with a file of JSON lines for each split.
    Own,
}

impl Dataset {
    /// Every published data set.
    pub const ALL: [Self; 8] = [
        Self::RefCoco,
        Self::RefCocoPlus,
        Self::RefCocoG,
        Self::RefClef,
        Self::GRefCoco,
        Self::RefCocoM,
        Self::RrsisD,
        Self::RefZom,
    ];

    /// The published name, which is also the name of its folder; `own` for own data.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whose split the results are published on: `umd` for refcocog, `final` for ref-zom, `unc` for the
    /// others. Own data are split by their `files`.
    pub fn default_split_by(self) -> &'static str {
        match self {
            Self::RefCocoG => "umd",
            Self::RefZom => "final",
            Self::Own => "files",
            _ => "unc",
        }
    }

    /// The orientation of the images that the annotations belong to. Published annotations belong to
    /// the pixels as stored; own ones were drawn on what people see, so a photograph is turned by its
    /// EXIF data.
    pub fn orientation(self) -> Orientation {
        if self == Self::Own { Orientation::Upright } else { Orientation::Stored }
    }

    /// The folder of the images, under `root`; `root` itself for own data.
    pub fn images_folder(self, root: &Path) -> PathBuf {
        match self {
            Self::Own => root.to_owned(),
            Self::RefClef => root.join("images/saiapr_tc-12"),
            Self::RrsisD => root.join("images/rrsisd/JPEGImages"),
            Self::RefZom => root.join("images/mscoco/images/trainval2014"),
            _ => root.join("images/mscoco/images/train2014"),
        }
    }

    /// The file of the annotations, under `root`. Own data have none; it stands for the folder.
    pub fn instances_file(self, root: &Path) -> PathBuf {
        match self {
            Self::Own => root.to_owned(),
            _ => root.join(self.name()).join("instances.json"),
        }
    }

    /// The file of the expressions, under `root`: the pickle if it is there, else the JSON.
    ///
    /// # Errors
    /// If `split_by` is not made of letters, digits, `_` and `-`, or if neither file exists (the
    /// error lists those that do). Own data have no refs file.
    pub fn refs_file(self, root: &Path, split_by: &str) -> Result<PathBuf, ReferError> {
        if self == Self::Own {
            let detail = "own data are split by their files (train.jsonl, val.jsonl, …)";
            return Err(ReferError::no_such("split_by", split_by, detail));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if split_by.is_empty() || !split_by.chars().all(plain) {
            let detail = "letters, digits, _ and - expected, such as unc, umd or google";
            return Err(ReferError::no_such("split_by", split_by, detail));
        }
        let folder = root.join(self.name());
        let stem = if self == Self::GRefCoco { "grefs" } else { "refs" };
        let names = ["p", "json"].map(|extension| format!("{stem}({split_by}).{extension}"));
        let mut files = names.iter().map(|name| folder.join(name));
        files.find(|file| file.is_file()).ok_or_else(|| {
            let is_refs = |name: &str| {
                name.contains("refs(") && (name.ends_with(".p") || name.ends_with(".json"))
            };
            ReferError::no_files(&folder, names.join(" or "), is_refs)
        })
    }
}

fn unknown(name: &str) -> ReferError {
    ReferError::unknown("data set", name, Dataset::VARIANTS)
}
