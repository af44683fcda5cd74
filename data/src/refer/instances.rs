//! `instances.json`: the images, annotations and categories that the expressions refer to.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::path::Path;

use image::RgbImage;
use serde::Deserialize;

use super::json_records::{JsonFile, Record};
use super::names::Names;
use super::{Annotation, AnnotationId, MaskSource, RefExpressions, ReferError};
use crate::image::{Orientation, read_image_with};
use crate::leniency::{Leniencies, Leniency, note, whole_number};

/// An image of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ImageInfo {
    /// Its identifier.
    #[serde(deserialize_with = "whole_number")]
    pub id: i64,
    /// Its file, relative to the images folder, which it does not lead out of.
    pub file_name: Box<str>,
    /// Pixels across; 0 if the image was missing when its own data were opened.
    #[serde(deserialize_with = "whole_number")]
    pub width: u32,
    /// Pixels down.
    #[serde(deserialize_with = "whole_number")]
    pub height: u32,
}

impl ImageInfo {
    /// The pixels of the file at `path`, which must be as large as annotated.
    ///
    /// # Errors
    /// [`ReferError::Image`], or [`ReferError::ImageSize`], for then masks would not fit the image.
    pub fn read(&self, path: &Path, orientation: Orientation) -> Result<RgbImage, ReferError> {
        let image = read_image_with(path, orientation)?;
        self.check_size(image.dimensions())?;
        Ok(image)
    }

    pub(super) fn check_size(&self, found: (u32, u32)) -> Result<(), ReferError> {
        let annotated = (self.width, self.height);
        if annotated == found {
            return Ok(());
        }
        let (image_id, file_name) = (self.id, self.file_name.to_string());
        Err(ReferError::ImageSize { image_id, file_name, annotated, found })
    }
}

/// The contents of an `instances.json`.
#[derive(Debug, Default)]
pub struct Instances {
    images: Vec<ImageInfo>,
    annotations: Vec<Annotation>,
    categories: BTreeMap<i64, Box<str>>,
}

impl Instances {
    /// Reads the file, and keeps what `refs` name (everything without them). Other records and
    /// fields cost no memory and are not looked at, and the file is never in memory as a whole.
    ///
    /// # Errors
    /// If the file cannot be read, is cut short, is not JSON of this layout, or gives one id to two
    /// different records.
    pub fn read(path: &Path, refs: Option<&[RefExpressions]>) -> Result<Self, ReferError> {
        Self::read_counted(path, refs, &mut Leniencies::default())
    }

    pub(super) fn read_counted(
        path: &Path,
        refs: Option<&[RefExpressions]>,
        leniencies: &mut Leniencies,
    ) -> Result<Self, ReferError> {
        let keep = refs.map(|refs| Keep {
            images: refs.iter().map(|entry| entry.image_id).collect(),
            annotations: refs.iter().flat_map(|entry| &entry.ann_ids).collect(),
        });
        let mut file = JsonFile::open(path, leniencies)?;
        let mut read = Self::default();
        let mut seen = HashSet::new();
        file.dict("a dict with the lists `images` and `annotations`", |file, key| {
            match key {
                "images" => file.list("images", |record| {
                    if keep.as_ref().is_none_or(|keep| keep.has_image(&record)) {
                        let place = |image: &ImageInfo| format!("image {}", image.id);
                        read.images.push(leniencies.count(place, || record.parse())?);
                    }
                    Ok(())
                })?,
                "annotations" => file.list("annotations", |record| {
                    if keep.as_ref().is_none_or(|keep| keep.has_annotation(&record)) {
                        let place = |one: &Annotation| format!("annotation {}", one.id);
                        let parse = || checked(record.parse()?);
                        read.annotations.push(leniencies.count(place, parse)?);
                    }
                    Ok(())
                })?,
                "categories" => file.list("categories", |record| {
                    // Nothing needs them.
                    read.categories
                        .extend(record.parse().map(|Category { id, name }| (id, name)).ok());
                    Ok(())
                })?,
                _ => return file.skip(),
            }
            match seen.insert(key.to_owned()) {
                true => Ok(()),
                false => Err(file.fail(format!("the list `{key}` is in it twice"))),
            }
        })?;
        file.end()?;
        if let Some(list) = ["images", "annotations"].into_iter().find(|list| !seen.contains(*list))
        {
            return Err(file.fail(format!("no list `{list}` in it")));
        }
        sort_unique(path, "images", &mut read.images, |image| &image.id)?;
        sort_unique(path, "annotations", &mut read.annotations, |annotation| &annotation.id)?;
        Ok(read)
    }

    /// Writes the names of the images as their files are called.
    pub(super) fn find_files(
        &mut self,
        path: &Path,
        names: &Names,
        leniencies: &mut Leniencies,
    ) -> Result<(), ReferError> {
        for image in &mut self.images {
            let found = leniencies
                .count(|_| format!("image {}", image.id), || names.find(&image.file_name));
            image.file_name = found.map_err(|detail| {
                let name: String =
                    image.file_name.chars().take(200).flat_map(char::escape_debug).collect();
                ReferError::content(
                    path,
                    format!("image {} has file_name `{name}`: {detail}", image.id),
                )
            })?;
        }
        Ok(())
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

/// The records to keep.
struct Keep<'r> {
    images: HashSet<i64>,
    annotations: HashSet<&'r AnnotationId>,
}

impl Keep<'_> {
    fn has_image(&self, record: &Record) -> bool {
        matches!(record.id(), Some(AnnotationId::Number(id)) if self.images.contains(&id))
    }

    fn has_annotation(&self, record: &Record) -> bool {
        record.id().is_some_and(|id: AnnotationId| self.annotations.contains(&id))
    }
}

fn checked(annotation: Annotation) -> Result<Annotation, String> {
    if annotation.bbox.is_none() {
        note(Leniency::NoBox);
    }
    if annotation.category_id.is_none() {
        note(Leniency::NoCategory);
    }
    if let MaskSource::Inline(segmentation) = &annotation.segmentation {
        segmentation.check().map_err(|error| error.to_string())?;
    }
    Ok(annotation)
}

#[derive(Deserialize)]
struct Category {
    #[serde(deserialize_with = "whole_number")]
    id: i64,
    name: Box<str>,
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
