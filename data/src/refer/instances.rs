//! `instances.json`: the images, annotations and categories that the expressions refer to.

use std::collections::{BTreeMap, HashSet};
use std::fmt::{self, Display};
use std::path::{Component, Path, PathBuf};

use image::RgbImage;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::ids::integer;
use super::json_records::{Meter, Records, message, parse};
use super::{Annotation, AnnotationId, MaskSource, RefExpressions, ReferError};
use crate::image::{Orientation, read_image_with};

/// An image of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ImageInfo {
    /// Its identifier.
    #[serde(deserialize_with = "integer")]
    pub id: i64,
    /// Its file, relative to the images folder, which it does not lead out of.
    pub file_name: Box<str>,
    /// Pixels across; 0 if the image was missing when its own data were opened.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

impl ImageInfo {
    /// The pixels of the file at `path`, which must be as large as annotated.
    ///
    /// # Errors
    /// [`ReferError::Image`], or [`ReferError::ImageSize`], for then masks would not fit the image.
    pub fn read(&self, path: &Path, orientation: Orientation) -> Result<RgbImage, ReferError> {
        let image = read_image_with(path, orientation)?;
        let (annotated, found) = ((self.width, self.height), image.dimensions());
        if annotated == found {
            return Ok(image);
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
    /// fields cost no memory, and the file is never in memory as a whole.
    ///
    /// # Errors
    /// If the file cannot be read, is cut short, is not JSON of this layout, names an image by a
    /// path that leads out of the images folder, or gives one id to two different records.
    pub fn read(path: &Path, refs: Option<&[RefExpressions]>) -> Result<Self, ReferError> {
        let keep = refs.map(|refs| Keep {
            images: refs.iter().map(|entry| entry.image_id).collect(),
            annotations: refs.iter().flat_map(|entry| &entry.ann_ids).collect(),
        });
        let (keep, meter) = (keep.as_ref(), Meter::default());
        let mut read =
            parse(path, &meter, |json| json.deserialize_map(Lists { keep, meter: &meter }))?;
        sort_unique(path, "images", &mut read.images, |image| &image.id)?;
        sort_unique(path, "annotations", &mut read.annotations, |annotation| &annotation.id)?;
        check_file_names(path, &read.images)?;
        Ok(read)
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

/// The dict at the top of the file. Of its lists, only what is to be kept outlives its record.
struct Lists<'f> {
    keep: Option<&'f Keep<'f>>,
    meter: &'f Meter,
}

impl<'de> Visitor<'de> for Lists<'_> {
    type Value = Instances;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a dict with the lists `images` and `annotations`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Instances, A::Error> {
        let Self { keep, meter } = self;
        let mut read = Instances::default();
        let mut seen = HashSet::new();
        loop {
            meter.between("the file");
            let Some(key) = map.next_key::<String>()? else { break };
            match &*key {
                "images" => {
                    map.next_value_seed(Records::new(meter, "images", |image: ImageInfo| {
                        if keep.is_none_or(|keep| keep.images.contains(&image.id)) {
                            read.images.push(image);
                        }
                        Ok(())
                    }))?
                }
                // Most annotations are not kept. They are skipped first, for only an id is needed.
                "annotations" => {
                    map.next_value_seed(Records::new(meter, "annotations", |_: IgnoredAny| {
                        let record = meter.record();
                        let Identified { id } = from_slice(&record)?;
                        if keep.is_none_or(|keep| keep.annotations.contains(&id)) {
                            read.annotations.push(checked(from_slice(&record)?)?);
                        }
                        Ok(())
                    }))?
                }
                "categories" => {
                    map.next_value_seed(Records::new(meter, "categories", |one: Category| {
                        read.categories.insert(one.id, one.name);
                        Ok(())
                    }))?
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            }
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format!("the list `{key}` is in it twice")));
            }
        }
        for list in ["images", "annotations"] {
            if !seen.contains(list) {
                return Err(A::Error::custom(format!("no list `{list}` in it")));
            }
        }
        Ok(read)
    }
}

fn from_slice<'r, T: Deserialize<'r>>(record: &'r [u8]) -> Result<T, String> {
    serde_json::from_slice(record).map_err(|error| message(&error))
}

fn checked(annotation: Annotation) -> Result<Annotation, String> {
    if let MaskSource::Inline(segmentation) = &annotation.segmentation {
        segmentation.check().map_err(|error| error.to_string())?;
    }
    Ok(annotation)
}

#[derive(Deserialize)]
struct Identified {
    id: AnnotationId,
}

#[derive(Deserialize)]
struct Category {
    #[serde(deserialize_with = "integer")]
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

fn check_file_names(path: &Path, images: &[ImageInfo]) -> Result<(), ReferError> {
    match images.iter().find(|image| relative_path(&image.file_name).is_none()) {
        None => Ok(()),
        Some(ImageInfo { id, file_name, .. }) => {
            let name = file_name.escape_debug();
            let expected = "a relative path without `..` expected";
            let detail = format!("image {id} has file_name `{name}`: {expected}");
            Err(ReferError::content(path, detail))
        }
    }
}

/// A path that stays within the folder it is joined to, whichever system reads it.
pub(super) fn relative_path(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(name);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    let foreign = name.contains(['\\', ':']) || name.chars().any(char::is_control);
    (plain && !foreign && !name.is_empty()).then_some(path)
}
