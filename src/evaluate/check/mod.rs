//! What is in a data set, and what is wrong with it: every image decoded, every mask drawn, every sentence compared.

mod page;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use mllmseg_data::mask::Bitmap;
use mllmseg_data::prompt::MAX_EXPRESSION_TOKENS;
use mllmseg_data::refer::{
    AnnotationId, Dataset, Expression, ReferDataset, ReferError, ReferItem, Split,
};
use rayon::prelude::*;
use serde::Serialize;
use strum::{Display, VariantArray};

pub use page::write_page;

/// Masks of one image that overlap by more are called the same object.
const SAME_OBJECT: f64 = 0.9;
/// The most pixels of an image's masks that are compared with each other: they are in memory together.
const MAX_COMPARED: u64 = 200_000_000;
/// The most masks of one image that are compared.
const MAX_TARGETS: usize = 1000;
/// Refs and targets that a finding names.
const NAMED: usize = 10;

/// A kind of finding, the worst first; displayed as what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Display, VariantArray)]
pub enum Kind {
    /// The image cannot be used.
    #[strum(to_string = "images that are missing, damaged or of another size")]
    Image,
    /// The mask cannot be drawn.
    #[strum(to_string = "masks that cannot be drawn")]
    Mask,
    /// An expression of an image refers to different targets.
    #[strum(to_string = "sentences that name different targets of one image")]
    Contradiction,
    /// The mask has no pixel although there are targets.
    #[strum(to_string = "truths without a pixel")]
    Empty,
    /// Two annotations of an image cover the same pixels.
    #[strum(to_string = "pairs of targets that cover the same pixels")]
    Overlap,
    /// An expression without words.
    #[strum(to_string = "sentences without words")]
    NoWords,
    /// An expression that may be over the model's limit.
    #[strum(to_string = "sentences that may be over the limit of 512 tokens")]
    Long,
    /// The same words for the same target again.
    #[strum(to_string = "sentences that repeat")]
    Repeated,
}

impl Kind {
    /// Whether `eval` and `train` would stop at it.
    pub fn stops(self) -> bool {
        matches!(self, Self::Image | Self::Mask)
    }
}

/// One finding.
#[derive(Debug)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// The image that it is in.
    pub image_id: i64,
    /// What is wrong, with the identifiers of refs and annotations.
    pub detail: String,
    /// The targets to show.
    pub targets: Vec<Vec<AnnotationId>>,
}

/// Smallest, median and largest of something.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The smallest.
    pub least: f64,
    /// Half of them are at most this.
    pub median: f64,
    /// The largest.
    pub most: f64,
}

/// What is in a data set.
#[derive(Debug, Default, Serialize)]
pub struct Counts {
    /// Images with expressions.
    pub images: usize,
    /// Expressions.
    pub expressions: usize,
    /// Of these, those without a target.
    pub without_target: usize,
    /// Different targets: one annotation, or several together.
    pub targets: usize,
    /// Refs left out because they contradict the annotations.
    pub contradictions: usize,
    /// Widths of the images that could be read, in pixels.
    pub width: Option<Spread>,
    /// Heights.
    pub height: Option<Spread>,
    /// Share of the image that a mask covers.
    pub covered: Option<Spread>,
}

/// A data set, checked.
#[derive(Debug)]
pub struct Checked {
    /// What is in it.
    pub counts: Counts,
    /// What is wrong with it, the worst first, then in the order of the data set.
    pub findings: Vec<Finding>,
}

impl Checked {
    /// How many findings there are of each kind.
    pub fn numbers(&self) -> impl Iterator<Item = (Kind, usize)> {
        let count = |kind| self.findings.iter().filter(|finding| finding.kind == kind).count();
        Kind::VARIANTS.iter().map(move |&kind| (kind, count(kind)))
    }

    /// Whether `eval` and `train` can use the data.
    pub fn is_usable(&self) -> bool {
        !self.findings.iter().any(|finding| finding.kind.stops())
    }
}

/// Checks a split, or all of them, on all cores; `progress` is called with the number of images that are done.
///
/// # Errors
/// As [`ReferDataset::items`].
pub fn check(
    data: &ReferDataset,
    split: Option<Split>,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Checked, ReferError> {
    let items = match split {
        Some(split) => data.items(split)?,
        None => data.all_items()?,
    };
    let done = AtomicUsize::new(0);
    let checked: Vec<ItemChecked> = items
        .par_iter()
        .map(|item| {
            let checked = check_item(data, item);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, items.len());
            checked
        })
        .collect();
    let asked = || items.iter().flat_map(|item| &item.expressions);
    let sizes = || checked.iter().filter_map(|item| item.size);
    let counts = Counts {
        images: items.len(),
        expressions: asked().count(),
        without_target: asked().filter(|one| one.no_target()).count(),
        targets: checked.iter().map(|item| item.targets).sum(),
        contradictions: data.skipped().refs,
        width: spread(sizes().map(|(width, _)| f64::from(width)).collect()),
        height: spread(sizes().map(|(_, height)| f64::from(height)).collect()),
        covered: spread(checked.iter().flat_map(|item| item.covered.iter().copied()).collect()),
    };
    let mut findings: Vec<Finding> = checked.into_iter().flat_map(|item| item.findings).collect();
    findings.sort_by_key(|finding| finding.kind);
    Ok(Checked { counts, findings })
}

fn spread(mut values: Vec<f64>) -> Option<Spread> {
    values.sort_by(f64::total_cmp);
    let (least, most) = (*values.first()?, *values.last()?);
    Some(Spread { least, median: values[values.len() / 2], most })
}

/// What one image adds.
#[derive(Default)]
struct ItemChecked {
    size: Option<(u32, u32)>,
    targets: usize,
    covered: Vec<f64>,
    findings: Vec<Finding>,
}

fn check_item(data: &ReferDataset, item: &ReferItem) -> ItemChecked {
    let mut checked = ItemChecked::default();
    let image_id = item.image.id;
    let mut find = |kind, detail, targets| {
        checked.findings.push(Finding { kind, image_id, detail, targets });
    };
    // A decoder that panics must not end the program.
    match catch_unwind(AssertUnwindSafe(|| data.read_image(item.image))) {
        Ok(Ok(image)) => checked.size = Some(image.dimensions()),
        Ok(Err(error)) => find(Kind::Image, error.to_string(), Vec::new()),
        Err(_) => {
            find(Kind::Image, format!("{}: the decoder panicked", item.image.file_name), Vec::new())
        }
    }
    let mut by_target: BTreeMap<&[AnnotationId], i64> = BTreeMap::new();
    for expression in item.expressions.iter().filter(|one| !one.no_target()) {
        by_target.entry(expression.targets).or_insert(expression.ref_id);
    }
    // Each line of own data has its target, so there the same mask is the same target.
    let own = data.dataset() == Dataset::Own;
    let mut same: BTreeMap<&[AnnotationId], &[AnnotationId]> = BTreeMap::new();
    checked.targets = by_target.len();
    let pixels = u64::from(item.image.width) * u64::from(item.image.height);
    let compares = by_target.len() <= MAX_TARGETS
        && pixels.saturating_mul(by_target.len() as u64) <= MAX_COMPARED;
    let mut masks: Vec<(&[AnnotationId], Bitmap)> = Vec::new();
    for (targets, ref_id) in by_target {
        let shown = || vec![targets.to_vec()];
        let mask = match data.mask(item.image, targets) {
            Ok(Some(mask)) => mask,
            Ok(None) => continue,
            // An image that is missing was named already.
            Err(ReferError::MissingImage { .. }) => break,
            Err(error) => {
                find(Kind::Mask, format!("ref {ref_id}: {error}"), Vec::new());
                continue;
            }
        };
        if mask.is_empty() {
            find(Kind::Empty, format!("ref {ref_id}: {} has no pixel", named(targets)), shown());
        }
        checked.covered.push(mask.area() as f64 / pixels as f64);
        for (other, earlier) in &masks {
            let overlap = mask.overlap(earlier).map_or(0.0, |overlap| overlap.iou());
            if own && overlap == 1.0 {
                let first = same.get(other).copied().unwrap_or(other);
                same.insert(targets, first);
            } else if overlap > SAME_OBJECT && !same.contains_key(other) {
                let detail = format!("{} and {}: IoU {overlap:.2}", named(other), named(targets));
                find(Kind::Overlap, detail, vec![other.to_vec(), targets.to_vec()]);
            }
        }
        if compares {
            masks.push((targets, mask));
        }
    }
    check_sentences(item, &same, &mut find);
    checked.targets -= same.len();
    checked
}

fn named(targets: &[AnnotationId]) -> String {
    let ids: Vec<String> = targets.iter().take(NAMED).map(AnnotationId::to_string).collect();
    let more = if targets.len() > NAMED { " + ..." } else { "" };
    format!("annotation {}{more}", ids.join(" + "))
}

/// Sentences that cannot be asked, repeat, or contradict each other.
fn check_sentences(
    item: &ReferItem,
    same: &BTreeMap<&[AnnotationId], &[AnnotationId]>,
    find: &mut impl FnMut(Kind, String, Vec<Vec<AnnotationId>>),
) {
    let mut by_words: BTreeMap<String, Vec<&Expression>> = BTreeMap::new();
    for expression in &item.expressions {
        let words = expression.text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        let place = || format!("ref {}, sentence {}", expression.ref_id, expression.sent_id);
        if words.is_empty() {
            find(Kind::NoWords, place(), Vec::new());
            continue;
        }
        // A token has at least one byte.
        if words.len() > MAX_EXPRESSION_TOKENS {
            find(Kind::Long, format!("{}: {} bytes", place(), words.len()), Vec::new());
        }
        by_words.entry(words).or_default().push(expression);
    }
    for (words, same_words) in by_words {
        let words: String = words.chars().take(200).collect();
        let target =
            |one: &&Expression| same.get(one.targets).copied().unwrap_or(one.targets).to_vec();
        let mut targets: Vec<Vec<AnnotationId>> = same_words.iter().map(target).collect();
        targets.sort();
        targets.dedup();
        let refs: Vec<String> =
            same_words.iter().take(NAMED).map(|one| one.ref_id.to_string()).collect();
        let more = if same_words.len() > NAMED { ", ..." } else { "" };
        let detail = format!("\"{words}\": refs {}{more}", refs.join(", "));
        let (different, repeats) = (targets.len(), same_words.len() - targets.len());
        targets.truncate(NAMED);
        if different > 1 {
            find(Kind::Contradiction, detail.clone(), targets.clone());
        }
        for _ in 0..repeats {
            find(Kind::Repeated, detail.clone(), targets.clone());
        }
    }
}
