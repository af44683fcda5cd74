//! Which expressions are asked, and the annotated mask of each.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::Args;
use mllmseg_data::mask::Bitmap;
use mllmseg_data::metrics::Protocol;
use mllmseg_data::refer::{
    Contradictions, Dataset, Expression, OpenOptions, ReferDataset, ReferItem, Split,
};

use super::published::{self, PublishedNumber};
use super::{EvalError, Shard};

/// Which numbers are wanted.
#[derive(Debug, Clone, Args)]
pub struct BenchmarkOptions {
    /// refcoco, refcoco+, refcocog, refclef, grefcoco, or own: a folder with SPLIT.jsonl
    #[arg(long)]
    pub dataset: Dataset,
    /// train, val, test, testA, testB, testC, testAB, testAC or testBC
    #[arg(long)]
    pub split: Split,
    /// Whose split: unc, umd, google, ... [default: umd for refcocog, else unc]
    #[arg(long, value_name = "NAME")]
    pub split_by: Option<String>,
    /// standard: every expression; released: as the published scripts count
    #[arg(long, default_value_t)]
    pub protocol: Protocol,
    /// Only the first N expressions
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Leave out refs that contradict the annotations, and count them, instead of stopping
    #[arg(long)]
    pub skip_contradictions: bool,
    /// Refuse data that are written otherwise than COCO and RefCOCO are
    #[arg(long)]
    pub strict: bool,
}

impl BenchmarkOptions {
    /// A whole split by the standard protocol; contradictions are refused.
    pub fn new(dataset: Dataset, split: Split) -> Self {
        Self {
            dataset,
            split,
            split_by: None,
            protocol: Protocol::default(),
            limit: None,
            skip_contradictions: false,
            strict: false,
        }
    }

    /// Whose split it is.
    pub fn split_by(&self) -> &str {
        self.split_by.as_deref().unwrap_or(self.dataset.default_split_by())
    }
}

/// A split of a data set, opened.
#[derive(Debug)]
pub struct Benchmark {
    /// The data set; it says which refs are skipped.
    pub data: ReferDataset,
    /// What was asked for.
    pub options: BenchmarkOptions,
    /// Whether it is scored as gRefCOCO is ([`ReferDataset::generalized`]).
    pub generalized: bool,
    /// Whether `mllmseg synth` drew it.
    drawn: bool,
}

impl Benchmark {
    /// Opens the data set under `root`; no image is touched, but for the headers of own data's.
    ///
    /// # Errors
    /// As [`ReferDataset::open_with`].
    pub fn open(root: &Path, options: BenchmarkOptions) -> Result<Self, EvalError> {
        let open = OpenOptions {
            split_by: options.split_by.clone(),
            contradictions: match options.skip_contradictions {
                true => Contradictions::Skip,
                false => Contradictions::Refuse,
            },
            only: Some(options.split),
            strict: options.strict,
        };
        let data = ReferDataset::open_with(root, options.dataset, open)?;
        let generalized = data.generalized(options.split);
        let drawn = root.join(mllmseg_scenes::ORIGIN_FILE).exists();
        Ok(Self { data, options, generalized, drawn })
    }

    /// What the paper reports for this split: nothing for drawn scenes, whatever their layout.
    pub fn published(&self) -> Vec<PublishedNumber> {
        let BenchmarkOptions { dataset, split, .. } = self.options;
        match self.drawn {
            true => Vec::new(),
            false => published::numbers(dataset, self.options.split_by(), split),
        }
    }

    /// The data set whose metrics own data get; nothing for published data, which have their own.
    pub fn scored_as(&self) -> Option<Dataset> {
        let like = if self.generalized { Dataset::GRefCoco } else { Dataset::RefCoco };
        (self.options.dataset == Dataset::Own).then_some(like)
    }

    /// The expressions to ask: all of the split by [`Protocol::Standard`], the first of each image
    /// by [`Protocol::Released`], up to the limit.
    ///
    /// # Errors
    /// If the split has no expressions.
    pub fn selection(&self) -> Result<Selection<'_>, EvalError> {
        let items = self.data.items(self.options.split)?;
        let mut selection = Selection {
            benchmark: self,
            items,
            places: HashMap::new(),
            missing_images: Vec::new(),
            shard: None,
        };
        selection.select();
        Ok(selection)
    }
}

/// An asked expression: the index of its image among the items, and its own among the image's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Index into [`Selection::items`].
    pub item: usize,
    /// Index into [`ReferItem::expressions`].
    pub expression: usize,
}

/// The annotation of an expression.
#[derive(Debug, Clone, PartialEq)]
pub struct GroundTruth {
    /// The target's mask at the image's size, several targets united; `None` without a target.
    pub mask: Option<Bitmap>,
    /// The annotation's box `[x, y, width, height]` in pixels, several enclosed.
    pub annotated_box: Option<[f64; 4]>,
}

/// The expressions of a benchmark that are asked, by image.
#[derive(Debug)]
pub struct Selection<'d> {
    /// Where it comes from.
    pub benchmark: &'d Benchmark,
    /// The images with their expressions; none is without.
    pub items: Vec<ReferItem<'d>>,
    /// The image files that [`skip_missing_images`](Self::skip_missing_images) did not find.
    pub missing_images: Vec<PathBuf>,
    /// The part that [`keep_shard`](Self::keep_shard) has kept.
    pub shard: Option<Shard>,
    /// `None` for expressions of the split that are not asked.
    places: HashMap<(i64, i64), Option<Place>>,
}

impl<'d> Selection<'d> {
    fn select(&mut self) {
        let BenchmarkOptions { limit, protocol, .. } = self.benchmark.options;
        let mut left = limit.unwrap_or(usize::MAX);
        let of_image = match protocol {
            Protocol::Standard => usize::MAX,
            Protocol::Released => 1,
        };
        for item in &mut self.items {
            let mut asked = 0;
            item.expressions.retain(|expression| {
                let key = (expression.ref_id, expression.sent_id);
                // A pair that occurs twice in a data set (see `Contradictions::Skip`) is asked once.
                let new = !self.places.contains_key(&key);
                let ask = new && asked < of_image && asked < left;
                asked += usize::from(ask);
                self.places.entry(key).or_insert(None);
                ask
            });
            left -= asked;
        }
        self.items.retain(|item| !item.expressions.is_empty());
        self.find_places();
    }

    fn find_places(&mut self) {
        self.places.values_mut().for_each(|place| *place = None);
        for (item, of_image) in self.items.iter().enumerate() {
            for (expression, asked) in of_image.expressions.iter().enumerate() {
                let place = Place { item, expression };
                self.places.insert((asked.ref_id, asked.sent_id), Some(place));
            }
        }
    }

    /// Leaves out the images of all other shards.
    ///
    /// # Errors
    /// If there are more shards than images.
    pub fn keep_shard(&mut self, shard: Shard) -> Result<(), EvalError> {
        if shard.count() > self.items.len() {
            return Err(EvalError::Shard(shard, self.items.len()));
        }
        let mut images = 0..;
        self.items.retain(|_| images.next().is_some_and(|image| shard.has(image)));
        self.shard = Some(shard);
        self.find_places();
        Ok(())
    }

    /// Leaves out the expressions of images that are not there.
    pub fn skip_missing_images(&mut self) {
        self.missing_images = self.benchmark.data.skip_missing_images(&mut self.items);
        self.find_places();
    }

    /// The number of expressions.
    pub fn expression_count(&self) -> usize {
        self.items.iter().map(|item| item.expressions.len()).sum()
    }

    /// All places, in order.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.items.iter().enumerate().flat_map(|(item, of_image)| {
            (0..of_image.expressions.len()).map(move |expression| Place { item, expression })
        })
    }

    /// Where an expression is: `None` if the split does not have it, `Some(None)` if it has but
    /// does not ask it here.
    pub fn find(&self, ref_id: i64, sent_id: i64) -> Option<Option<Place>> {
        self.places.get(&(ref_id, sent_id)).copied()
    }

    /// The expression at a place of [`places`](Self::places), and its image.
    pub fn expression(&self, place: Place) -> (&ReferItem<'d>, Expression<'d>) {
        let item = &self.items[place.item];
        (item, item.expressions[place.expression])
    }

    /// The annotated mask and box of an expression.
    ///
    /// The published scripts ([`Protocol::Released`]) call an expression with an empty mask one
    /// without a target; the standard goes by the annotations named.
    ///
    /// # Errors
    /// [`ReferError::Annotation`](mllmseg_data::refer::ReferError::Annotation) for an annotation that is not a mask of its image.
    pub fn ground_truth(&self, place: Place) -> Result<GroundTruth, EvalError> {
        let (item, expression) = self.expression(place);
        if expression.no_target() {
            return Ok(GroundTruth { mask: None, annotated_box: None });
        }
        let data = &self.benchmark.data;
        let mut mask = data.mask(item.image, expression.targets)?;
        let annotated_box = data.annotated_box(expression.targets, mask.as_ref())?;
        if self.benchmark.options.protocol == Protocol::Released {
            mask = mask.filter(|mask| !mask.is_empty());
        }
        Ok(GroundTruth { mask, annotated_box })
    }
}
