//! The expressions of a split, image by image.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use super::{AnnotationId, Dataset, ImageInfo, RefExpressions, ReferDataset, ReferError, Split};

/// One image and all its expressions in a split.
#[derive(Debug, Clone)]
pub struct ReferItem<'d> {
    /// The image.
    pub image: &'d ImageInfo,
    /// Its expressions, in the order of the file; never empty.
    pub expressions: Vec<Expression<'d>>,
}

/// One expression and what it refers to.
#[derive(Debug, Clone, Copy)]
pub struct Expression<'d> {
    /// The ref that it belongs to.
    pub ref_id: i64,
    /// Its identifier.
    pub sent_id: i64,
    /// The text, as the published models receive it.
    pub text: &'d str,
    /// The annotations it refers to, for [`ReferDataset::annotations`]; empty if there is no
    /// target.
    pub targets: &'d [AnnotationId],
}

impl Expression<'_> {
    /// Whether the expression refers to nothing in the image.
    pub fn no_target(&self) -> bool {
        self.targets.is_empty()
    }
}

impl ReferDataset {
    /// The refs of a split, in the order of the file. A split of own data is exactly the file of its
    /// name; the published rule ([`Split::includes`]) does not apply to it.
    pub fn refs(&self, split: Split) -> impl Iterator<Item = &RefExpressions> {
        let own = self.is_own();
        self.all_refs().iter().filter(move |entry| match own {
            true => *entry.split == *split.name(),
            false => split.includes(&entry.split),
        })
    }

    /// Whether a split is scored as gRefCOCO is. That holds for gRefCOCO itself, for Ref-ZOM, and for own
    /// data if an expression of the split refers to nothing.
    pub fn generalized(&self, split: Split) -> bool {
        match self.dataset() {
            Dataset::GRefCoco | Dataset::RefZom => true,
            Dataset::Own => self.refs(split).any(RefExpressions::no_target),
            Dataset::RefCoco | Dataset::RefCocoPlus | Dataset::RefCocoG | Dataset::RefClef => false,
            Dataset::RefCocoM | Dataset::RrsisD => false,
        }
    }

    /// The split names that the file marks its refs with, and the number of refs of each.
    pub fn split_counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for entry in self.all_refs() {
            *counts.entry(&*entry.split).or_default() += 1;
        }
        counts
    }

    /// The expressions of a split by image, images in the order in which the file first names them.
    /// Refs without an expression (gRefCOCO has some) yield nothing.
    ///
    /// # Errors
    /// If the split has no expressions at all: the error lists the splits that there are.
    pub fn items(&self, split: Split) -> Result<Vec<ReferItem<'_>>, ReferError> {
        let items = self.by_image(self.refs(split))?;
        if items.is_empty() {
            let counts = self.split_counts();
            let counts = counts.iter().map(|(name, count)| match *name {
                "" => format!("no split ({count})"),
                name => format!("{name} ({count})"),
            });
            let available = counts.collect::<Vec<_>>().join(", ");
            let detail = format!(
                "{} has no expressions in it; its refs are split as {}",
                self.dataset(),
                if available.is_empty() { "nothing" } else { &available }
            );
            return Err(ReferError::no_such("split", split.name(), detail));
        }
        Ok(items)
    }

    /// The expressions of all splits by image, as [`items`](Self::items) has those of one.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    pub fn all_items(&self) -> Result<Vec<ReferItem<'_>>, ReferError> {
        self.by_image(self.all_refs().iter())
    }

    fn by_image<'d>(
        &'d self,
        refs: impl Iterator<Item = &'d RefExpressions>,
    ) -> Result<Vec<ReferItem<'d>>, ReferError> {
        let mut items: Vec<ReferItem<'_>> = Vec::new();
        let mut index_of = HashMap::new();
        for entry in refs.filter(|entry| !entry.sentences.is_empty()) {
            let index = *index_of.entry(entry.image_id).or_insert(items.len());
            if index == items.len() {
                let image = self.image(entry.image_id)?;
                items.push(ReferItem { image, expressions: Vec::new() });
            }
            items[index].expressions.extend(entry.sentences.iter().map(|sentence| Expression {
                ref_id: entry.ref_id,
                sent_id: sentence.sent_id,
                text: &sentence.sent,
                targets: &entry.ann_ids,
            }));
        }
        Ok(items)
    }

    /// Drops the items whose image file is not there, and returns the paths that were missing: the
    /// skip-missing mode. (Without it, [`image_path`](Self::image_path) fails on the first.)
    pub fn skip_missing_images(&self, items: &mut Vec<ReferItem<'_>>) -> Vec<PathBuf> {
        let mut missing = Vec::new();
        items.retain(|item| match self.image_path(item.image) {
            Err(ReferError::MissingImage { path, .. }) => {
                missing.push(path);
                false
            }
            _ => true,
        });
        missing
    }
}
