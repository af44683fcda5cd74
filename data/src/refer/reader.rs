//! A data set as a whole: refs and instances, checked against each other.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use image::RgbImage;

use super::names::Names;
use super::refs::read_refs_counted;
use super::{
    Annotation, AnnotationId, Dataset, ImageInfo, Instances, MaskSource, RefExpressions,
    ReferError, Sentence, Split, own,
};
use crate::leniency::Leniencies;

/// What to do with a ref that contradicts `instances.json` or another ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Contradictions {
    /// Fail, naming the ref.
    #[default]
    Refuse,
    /// Leave the ref out and count it; a `sent_id` used twice is only counted. See
    /// [`ReferDataset::skipped`].
    Skip,
}

/// How to open a data set.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// Whose split to read (`unc`, `umd`, `google`, …); the published one of the data set by
    /// default.
    pub split_by: Option<String>,
    /// What to do with contradictory refs.
    pub contradictions: Contradictions,
    /// Read the file of this split only. Own data alone have a file for each split.
    pub only: Option<Split>,
    /// Refuse what is written otherwise than COCO and RefCOCO do, instead of counting it
    /// ([`ReferDataset::leniencies`]).
    pub strict: bool,
}

/// What [`Contradictions::Skip`] skipped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Refs left out.
    pub refs: usize,
    /// Sentences whose `sent_id` an earlier one has; they are kept.
    pub repeated_sentences: usize,
    /// What was wrong with the first few.
    pub examples: Vec<String>,
}

/// A data set of referring expressions.
#[derive(Debug)]
pub struct ReferDataset {
    dataset: Dataset,
    images_folder: PathBuf,
    instances_file: PathBuf,
    refs: Vec<RefExpressions>,
    instances: Instances,
    skipped: Skipped,
    leniencies: Leniencies,
}

impl ReferDataset {
    /// Opens a data set under `root` (see the [module](super) for the layout), refusing
    /// contradictions. `split_by` of `None` is the published split. No image is decoded; the headers
    /// of own images are read.
    ///
    /// # Errors
    /// If a file is missing, damaged or refused, or if a ref names an image or annotation that
    /// `instances.json` lacks, an annotation of another image, or an id that another ref or
    /// sentence has.
    pub fn open(root: &Path, dataset: Dataset, split_by: Option<&str>) -> Result<Self, ReferError> {
        let split_by = split_by.map(str::to_owned);
        Self::open_with(root, dataset, OpenOptions { split_by, ..OpenOptions::default() })
    }

    /// Opens a data set under `root` with `options`.
    ///
    /// # Errors
    /// As [`open`](Self::open); contradictions between refs only if they are to be refused.
    pub fn open_with(
        root: &Path,
        dataset: Dataset,
        options: OpenOptions,
    ) -> Result<Self, ReferError> {
        let split_by = options.split_by.as_deref().unwrap_or(dataset.default_split_by());
        let instances_file = dataset.instances_file(root);
        let images_folder = dataset.images_folder(root);
        let mut leniencies = Leniencies::default();
        let (refs, instances, skipped) =
            if dataset == Dataset::Own && split_by == dataset.default_split_by() {
                let (refs, instances) = own::read(root, options.only, &mut leniencies)?;
                (refs, instances, Skipped::default())
            } else {
                let refs_file = dataset.refs_file(root, split_by)?;
                let refs = read_refs_counted(&refs_file, &mut leniencies)?;
                let mut instances =
                    Instances::read_counted(&instances_file, Some(&refs), &mut leniencies)?;
                let names = Names::under(&images_folder);
                instances.find_files(&instances_file, &names, &mut leniencies)?;
                let files = [&*refs_file, &instances_file];
                let (refs, skipped) = compare(refs, &instances, files, options.contradictions)?;
                (refs, instances, skipped)
            };
        if options.strict && !leniencies.is_empty() {
            let detail = format!("{leniencies}: mend the data set, or read it without --strict");
            return Err(ReferError::content(root, detail));
        }
        Ok(Self { dataset, images_folder, instances_file, refs, instances, skipped, leniencies })
    }

    /// What was read although COCO and RefCOCO write it otherwise.
    pub fn leniencies(&self) -> &Leniencies {
        &self.leniencies
    }

    /// Annotations that refs name and that enclose nothing: no part of theirs has three points.
    pub fn empty_annotations(&self) -> impl Iterator<Item = &AnnotationId> {
        let empty = |one: &&Annotation| match &one.segmentation {
            MaskSource::Inline(segmentation) => segmentation.has_no_area(),
            MaskSource::Png { .. } => false,
        };
        self.instances.annotations().iter().filter(empty).map(|one| &one.id)
    }

    /// What a user should know of the data: a line on leniencies, and one on empty annotations.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.leniencies.is_empty() {
            notes.push(format!(
                "{}: read leniently: {}; --strict refuses them",
                self.dataset, self.leniencies
            ));
        }
        let empty: Vec<String> = self.empty_annotations().map(AnnotationId::to_string).collect();
        if !empty.is_empty() {
            let named = empty[..empty.len().min(EXAMPLES)].join(", ");
            let more = if empty.len() > EXAMPLES { ", ..." } else { "" };
            notes.push(format!(
                "{}: {} annotations enclose nothing (no part of three points), so their truth is empty: {named}{more}",
                self.dataset,
                empty.len()
            ));
        }
        notes
    }

    /// Which data set this is.
    pub fn dataset(&self) -> Dataset {
        self.dataset
    }

    pub(super) fn is_own(&self) -> bool {
        self.dataset == Dataset::Own
    }

    /// The folder that the file names of images, and of own masks, are relative to.
    pub(super) fn folder(&self) -> &Path {
        &self.images_folder
    }

    /// The refs of all splits, in the order of the file.
    pub fn all_refs(&self) -> &[RefExpressions] {
        &self.refs
    }

    /// What the refs name of `instances.json`.
    pub fn instances(&self) -> &Instances {
        &self.instances
    }

    /// What was skipped.
    pub fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    /// The image with this id.
    ///
    /// # Errors
    /// If no ref names such an image.
    pub fn image(&self, image_id: i64) -> Result<&ImageInfo, ReferError> {
        self.instances.image(image_id).ok_or_else(|| {
            let detail = format!("no image {image_id} among those that the refs name");
            ReferError::inconsistent(&self.instances_file, detail)
        })
    }

    /// The annotations with these ids, in their order.
    ///
    /// # Errors
    /// If one of them is not named by any ref.
    pub fn annotations(&self, ann_ids: &[AnnotationId]) -> Result<Vec<&Annotation>, ReferError> {
        let find = |id| {
            self.instances.annotation(id).ok_or_else(|| {
                let detail = format!("no annotation {id} among those that the refs name");
                ReferError::inconsistent(&self.instances_file, detail)
            })
        };
        ann_ids.iter().map(find).collect()
    }

    /// The file of an image.
    ///
    /// # Errors
    /// If it is not there: the error names the path.
    pub fn image_path(&self, image: &ImageInfo) -> Result<PathBuf, ReferError> {
        let path = self.images_folder.join(&*image.file_name);
        if path.is_file() {
            Ok(path)
        } else {
            let named_by = self.is_own().then(|| own::place(&self.images_folder, image.id));
            Err(ReferError::MissingImage { image_id: image.id, path, named_by })
        }
    }

    /// The pixels of an image, in the orientation that the annotations have.
    ///
    /// # Errors
    /// As [`image_path`](Self::image_path) and [`ImageInfo::read`].
    pub fn read_image(&self, image: &ImageInfo) -> Result<RgbImage, ReferError> {
        image.read(&self.image_path(image)?, self.dataset.orientation())
    }
}

/// How many contradictions [`Skipped`] describes, and how many annotations a note names.
const EXAMPLES: usize = 10;

/// The refs without those that contradict the instances or each other.
fn compare(
    refs: Vec<RefExpressions>,
    instances: &Instances,
    [refs_file, instances_file]: [&Path; 2],
    policy: Contradictions,
) -> Result<(Vec<RefExpressions>, Skipped), ReferError> {
    let (mut ref_ids, mut sent_ids) = (HashSet::new(), HashSet::new());
    let mut skipped = Skipped::default();
    let mut kept = Vec::with_capacity(refs.len());
    for entry in refs {
        let ref_id = entry.ref_id;
        let checked = match ref_ids.contains(&ref_id) {
            true => Err("an earlier ref has the same ref_id".to_owned()),
            false => check_ref(&entry, instances, instances_file),
        };
        let mut found = Vec::new();
        if let Err(detail) = checked {
            skipped.refs += 1;
            found.push(detail);
        } else {
            for Sentence { sent_id, .. } in &entry.sentences {
                if !sent_ids.insert(*sent_id) {
                    skipped.repeated_sentences += 1;
                    found.push(format!("sent_id {sent_id} is used by an earlier sentence too"));
                }
            }
            ref_ids.insert(ref_id);
            kept.push(entry);
        }
        for detail in found {
            let detail = format!("ref {ref_id}: {detail}");
            if policy == Contradictions::Refuse {
                return Err(ReferError::inconsistent(refs_file, detail));
            }
            if skipped.examples.len() < EXAMPLES {
                skipped.examples.push(detail);
            }
        }
    }
    Ok((kept, skipped))
}

/// Compares a ref with the images and annotations that it names.
fn check_ref(
    entry: &RefExpressions,
    instances: &Instances,
    instances_file: &Path,
) -> Result<(), String> {
    let lacking = instances_file.display();
    if instances.image(entry.image_id).is_none() {
        return Err(format!("names image {}, which {lacking} lacks", entry.image_id));
    }
    for id in &entry.ann_ids {
        let Some(annotation) = instances.annotation(id) else {
            return Err(format!("names annotation {id}, which {lacking} lacks"));
        };
        if annotation.image_id != entry.image_id {
            return Err(format!(
                "is about image {}, but its annotation {id} is of image {}",
                entry.image_id, annotation.image_id
            ));
        }
    }
    Ok(())
}
