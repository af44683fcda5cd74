//! `instances.json`: the images, annotations and categories that the expressions refer to.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::ids::Whole;
use super::json_records::JsonRecords;
use super::{AnnotationId, RawSegmentation, ReferError};

/// An image of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageInfo {
    /// Its identifier.
    pub id: i64,
    /// Its file, relative to the images folder, which it does not lead out of.
    pub file_name: Box<str>,
    /// Pixels across; 0 if the image was missing when its own data were opened.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// An annotated object.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// Its identifier.
    pub id: AnnotationId,
    /// The image that it is in.
    pub image_id: i64,
    /// Its category.
    pub category_id: i64,
    /// Its box: left, top, width and height, in pixels. Own data give none: zeros.
    pub bbox: [f64; 4],
    /// Whether it marks a crowd rather than one object; false where the file does not say.
    pub is_crowd: bool,
    /// Its shape.
    pub segmentation: RawSegmentation,
}

/// Which records of `instances.json` to keep. Skipped ones cost no memory.
#[derive(Debug, Clone, Default)]
pub enum Keep {
    /// All of them.
    #[default]
    All,
    /// Those that the refs name.
    Named {
        /// The images to keep.
        images: HashSet<i64>,
        /// The annotations to keep.
        annotations: HashSet<AnnotationId>,
    },
}

impl Keep {
    fn image(&self, id: i64) -> bool {
        match self {
            Self::All => true,
            Self::Named { images, .. } => images.contains(&id),
        }
    }

    fn annotation(&self, id: &AnnotationId) -> bool {
        match self {
            Self::All => true,
            Self::Named { annotations, .. } => annotations.contains(id),
        }
    }
}

/// The contents of an `instances.json`.
#[derive(Debug)]
pub struct Instances {
    images: Vec<ImageInfo>,
    annotations: Vec<Annotation>,
    categories: BTreeMap<i64, Box<str>>,
}

impl Instances {
    /// Reads the file, keeping what `keep` says, and of that only the fields above. The file is
    /// never in memory as a whole.
    ///
    /// # Errors
    /// If the file cannot be read, is cut short, is not JSON of this layout, names an image by a
    /// path that leads out of the images folder, or gives one id to two different records.
    pub fn read(path: &Path, keep: &Keep) -> Result<Self, ReferError> {
        let mut images: Option<Vec<ImageInfo>> = None;
        let mut annotations: Option<Vec<Annotation>> = None;
        let mut categories: Option<BTreeMap<i64, Box<str>>> = None;
        JsonRecords::open(path)?.for_each_key(|file, key| match key {
            "images" => fill(path, file, &mut images, key, |list, record| {
                list.extend(read_image(record, keep)?);
                Ok(())
            }),
            "annotations" => fill(path, file, &mut annotations, key, |list, record| {
                list.extend(read_annotation(record, keep)?);
                Ok(())
            }),
            "categories" => fill(path, file, &mut categories, key, |list, record| {
                let category: CategoryRecord = parse(record)?;
                list.insert(category.id.0, category.name.into());
                Ok(())
            }),
            other => file.skip_value(other),
        })?;
        let lacks = |key| move || ReferError::inconsistent(path, format!("no list `{key}` in it"));
        let mut images = images.ok_or_else(lacks("images"))?;
        let mut annotations = annotations.ok_or_else(lacks("annotations"))?;
        sort_unique(path, "images", &mut images, |image| &image.id)?;
        sort_unique(path, "annotations", &mut annotations, |annotation| &annotation.id)?;
        check_file_names(path, &images)?;
        Ok(Self { images, annotations, categories: categories.unwrap_or_default() })
    }

    /// From what is sorted by id, without categories.
    pub(super) fn of(images: Vec<ImageInfo>, annotations: Vec<Annotation>) -> Self {
        Self { images, annotations, categories: BTreeMap::new() }
    }

    /// The image with this id, if it was kept.
    pub fn image(&self, id: i64) -> Option<&ImageInfo> {
        let index = self.images.binary_search_by_key(&id, |image| image.id).ok()?;
        self.images.get(index)
    }

    /// The annotation with this id, if it was kept.
    pub fn annotation(&self, id: &AnnotationId) -> Option<&Annotation> {
        let index = self.annotations.binary_search_by(|annotation| annotation.id.cmp(id)).ok()?;
        self.annotations.get(index)
    }

    /// The name of a category.
    pub fn category(&self, id: i64) -> Option<&str> {
        self.categories.get(&id).map(|name| &**name)
    }

    /// The images that were kept, by id.
    pub fn images(&self) -> &[ImageInfo] {
        &self.images
    }

    /// The annotations that were kept, by id.
    pub fn annotations(&self) -> &[Annotation] {
        &self.annotations
    }
}

/// Reads the list under `key` into a slot that must still be empty.
fn fill<T: Default>(
    path: &Path,
    file: &mut JsonRecords<'_>,
    slot: &mut Option<T>,
    key: &str,
    mut add: impl FnMut(&mut T, &[u8]) -> Result<(), String>,
) -> Result<(), ReferError> {
    if slot.is_some() {
        return Err(ReferError::inconsistent(path, format!("the list `{key}` is in it twice")));
    }
    let list = slot.insert(T::default());
    file.for_each_in_list(key, |record| add(list, record))
}

fn parse<'r, T: Deserialize<'r>>(record: &'r [u8]) -> Result<T, String> {
    serde_json::from_slice(record).map_err(|error| error.to_string())
}

fn read_image(record: &[u8], keep: &Keep) -> Result<Option<ImageInfo>, String> {
    let image: ImageRecord<'_> = parse(record)?;
    if !keep.image(image.id.0) {
        return Ok(None);
    }
    Ok(Some(ImageInfo {
        id: image.id.0,
        file_name: image.file_name.into(),
        width: image.width,
        height: image.height,
    }))
}

fn read_annotation(record: &[u8], keep: &Keep) -> Result<Option<Annotation>, String> {
    if !matches!(keep, Keep::All) && !keep.annotation(&parse::<IdRecord>(record)?.id) {
        return Ok(None);
    }
    let annotation: AnnotationRecord = parse(record)?;
    Ok(Some(Annotation {
        id: annotation.id,
        image_id: annotation.image_id.0,
        category_id: annotation.category_id.0,
        bbox: annotation.bbox,
        is_crowd: annotation.iscrowd.is_some_and(|flag| flag.0 != 0),
        segmentation: annotation.segmentation,
    }))
}

#[derive(Deserialize)]
struct ImageRecord<'r> {
    id: Whole,
    #[serde(borrow)]
    file_name: Cow<'r, str>,
    width: u32,
    height: u32,
}

#[derive(Deserialize)]
struct IdRecord {
    id: AnnotationId,
}

#[derive(Deserialize)]
struct AnnotationRecord {
    id: AnnotationId,
    image_id: Whole,
    category_id: Whole,
    bbox: [f64; 4],
    iscrowd: Option<Whole>,
    segmentation: RawSegmentation,
}

#[derive(Deserialize)]
struct CategoryRecord {
    id: Whole,
    name: String,
}

/// Sorts by id. The same record twice is one record; two records under one id are an error.
fn sort_unique<T: PartialEq, K: Ord + Display>(
    path: &Path,
    list: &str,
    records: &mut Vec<T>,
    id: impl Fn(&T) -> &K,
) -> Result<(), ReferError> {
    records.sort_unstable_by(|a, b| id(a).cmp(id(b))); // in place: no second list
    records.dedup();
    if let Some([twice, _]) = records.array_windows().find(|[a, b]| id(a) == id(b)) {
        let detail = format!("{list}: two different records with id {}", id(twice));
        return Err(ReferError::inconsistent(path, detail));
    }
    records.shrink_to_fit();
    Ok(())
}

fn check_file_names(path: &Path, images: &[ImageInfo]) -> Result<(), ReferError> {
    match images.iter().find(|image| relative_path(&image.file_name).is_none()) {
        None => Ok(()),
        Some(image) => Err(ReferError::UnsafeFileName {
            path: path.to_owned(),
            image_id: image.id,
            file_name: image.file_name.escape_debug().to_string(),
        }),
    }
}

/// A path that stays within the folder it is joined to, whichever system reads it.
pub(super) fn relative_path(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(name);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    let foreign = name.contains(['\\', ':']) || name.chars().any(char::is_control);
    (plain && !foreign && !name.is_empty()).then_some(path)
}
