//! Scores for predictions from anywhere.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use mllmseg_data::mask::Bitmap;
use mllmseg_data::metrics::Protocol;
use mllmseg_data::refer::ReferError;
use rayon::prelude::*;

use super::parts::check_parts;
use super::read_predictions;
use super::results::Results;
use super::{EvalError, Evaluation, MadeBy, Outcome, Place, Prediction, Selection};

/// Predictions that are decoded at a time; their masks are in memory together.
const BATCH: usize = 128;
/// Missing predictions that a message names.
const EXAMPLES: usize = 10;

/// Scores predictions, in one file or several; no image is needed.
///
/// Files that `mllmseg eval` wrote are scored together if they are of one run: the same model, data
/// set and options, and every shard once.
///
/// # Errors
/// If files do not belong together, if an entry is damaged, unknown to the split, doubled, or not of
/// its image's size, and if an expression has no entry, unless `allow_missing`: all are named.
pub fn score(
    selection: &Selection,
    predictions: &[impl AsRef<Path>],
    allow_missing: bool,
) -> Result<Evaluation, EvalError> {
    check_parts(predictions, allow_missing)?;
    let mut results = Results::new(selection);
    let mut seen = HashMap::new();
    let files = predictions.iter().map(AsRef::as_ref);
    for file in files.clone() {
        score_file(selection, file, &mut results, &mut seen)?;
    }
    let last = files.last().unwrap_or(Path::new("no predictions file"));
    add_wordless(selection, last, &mut results, &seen)?;
    if !allow_missing {
        check_complete(selection, last, &results.outcomes)?;
    }
    Ok(results.finish(selection))
}

/// Where the entry of a `ref_id` and `sent_id` is.
type Seen<'p> = HashMap<(i64, i64), &'p Path>;

fn score_file<'p>(
    selection: &Selection,
    file: &'p Path,
    results: &mut Results,
    seen: &mut Seen<'p>,
) -> Result<(), EvalError> {
    let options = &selection.benchmark.options;
    let mut batch = Batch::new(selection, file);
    read_predictions(file, |entry| {
        let complain = |detail: String| prediction_error(file, &entry, detail);
        if let Some(label) = &entry.made_by {
            // Ids of one data set have another meaning in another.
            let (dataset, split_by) = (options.dataset.to_string(), options.split_by().to_owned());
            MadeBy { dataset, split_by, ..label.clone() }.check_same(label, file)?;
        }
        let Some(asked) = selection.find(entry.ref_id, entry.sent_id) else {
            let detail = format!("{} {} has no such expression", options.dataset, options.split);
            return Err(complain(detail));
        };
        if let Some(other) = seen.insert((entry.ref_id, entry.sent_id), file) {
            let place = match other == file {
                true => String::new(),
                false => format!(", which {} has too", other.display()),
            };
            return Err(complain(format!("a second entry for this expression{place}; remove one")));
        }
        match asked {
            Some(place) => batch.push(place, entry, results),
            None => Ok(()), // asked by the standard protocol, without a limit
        }
    })?;
    batch.flush(results)
}

/// No program can answer an expression without words; without an entry it counts with an empty mask,
/// as in `eval`.
fn add_wordless(
    selection: &Selection,
    file: &Path,
    results: &mut Results,
    seen: &Seen,
) -> Result<(), EvalError> {
    let mut batch = Batch::new(selection, file);
    for place in selection.places() {
        let (item, expression) = selection.expression(place);
        let key = (expression.ref_id, expression.sent_id);
        if expression.text.trim().is_empty() && item.image.width > 0 && !seen.contains_key(&key) {
            let entry = Prediction::unasked(expression, item.image).map_err(|source| {
                let annotation = format!("of ref_id {}, sent_id {}", key.0, key.1);
                ReferError::Annotation { annotation, image_id: item.image.id, source }
            })?;
            batch.push(place, entry, results)?;
        }
    }
    batch.flush(results)
}

/// Entries on their way into the sums: scored in parallel, so many at a time.
pub(super) struct Batch<'s> {
    selection: &'s Selection<'s>,
    path: &'s Path,
    entries: Vec<(Place, Prediction)>,
    /// By standard rules a rejected expression's mask is not kept, so the others cannot score it.
    lacks_rejected_masks: bool,
}

impl<'s> Batch<'s> {
    pub(super) fn new(selection: &'s Selection<'s>, path: &'s Path) -> Self {
        Self { selection, path, entries: Vec::new(), lacks_rejected_masks: false }
    }

    pub(super) fn push(
        &mut self,
        place: Place,
        entry: Prediction,
        results: &mut Results,
    ) -> Result<(), EvalError> {
        let by = entry.made_by.as_ref().map(|label| label.protocol);
        if by == Some(Protocol::Standard) {
            let asked = self.selection.benchmark.options.protocol;
            self.lacks_rejected_masks = asked != Protocol::Standard;
        }
        if self.lacks_rejected_masks && entry.rejected {
            let detail = "expected the mask of a rejected expression, which files written by the \
                          standard protocol do not keep; run `mllmseg eval --protocol released`";
            return Err(prediction_error(self.path, &entry, detail.into()));
        }
        self.entries.push((place, entry));
        if self.entries.len() < BATCH {
            return Ok(());
        }
        self.flush(results)
    }

    pub(super) fn flush(&mut self, results: &mut Results) -> Result<(), EvalError> {
        let compared = |(place, entry): &(Place, Prediction)| {
            let mask = decode(self.selection, self.path, *place, entry)?;
            Ok((mask, self.selection.ground_truth(*place)?))
        };
        let masks: Vec<Result<_, EvalError>> = self.entries.par_iter().map(compared).collect();
        for ((place, entry), masks) in self.entries.drain(..).zip(masks) {
            let (mask, truth) = masks?; // the first of the file that fails
            results.add(self.selection, place, &entry, &mask, &truth)?;
        }
        Ok(())
    }
}

/// The mask of an entry, checked against its image.
fn decode(
    selection: &Selection,
    path: &Path,
    place: Place,
    entry: &Prediction,
) -> Result<Bitmap, EvalError> {
    let (item, _) = selection.expression(place);
    let expected = [item.image.height, item.image.width];
    if expected == [0, 0] {
        // Own data: the image was missing, and with it its size.
        selection.benchmark.data.image_path(item.image)?;
    }
    let found = entry.segmentation.size;
    if expected != found {
        let detail = format!(
            "expected a mask of {} x {} (height x width) like image {}, found {} x {}",
            expected[0], expected[1], item.image.id, found[0], found[1]
        );
        return Err(prediction_error(path, entry, detail));
    }
    let rle = entry.segmentation.decode();
    let rle = rle.map_err(|error| prediction_error(path, entry, error.to_string()))?;
    Ok(rle.to_bitmap())
}

fn check_complete(
    selection: &Selection,
    path: &Path,
    outcomes: &[Outcome],
) -> Result<(), EvalError> {
    let scored: HashSet<Place> = outcomes.iter().map(|outcome| outcome.place).collect();
    let without = selection.places().filter(|place| !scored.contains(place));
    let missing = without.map(|place| {
        let (_, expression) = selection.expression(place);
        format!("ref_id {} sent_id {}", expression.ref_id, expression.sent_id)
    });
    let missing: Vec<String> = missing.collect();
    if missing.is_empty() {
        return Ok(());
    }
    let (count, asked) = (missing.len(), selection.expression_count());
    let examples = missing[..count.min(EXAMPLES)].join(", ");
    let more = if count > EXAMPLES { ", ..." } else { "" };
    let detail = format!(
        "expected a prediction for each of {asked} expressions, but {count} have none: {examples}{more}; \
         add them, or score what is there with --allow-missing"
    );
    Err(EvalError::Predictions(path.to_owned(), detail))
}

/// An error that names the expression.
pub(super) fn prediction_error(path: &Path, entry: &Prediction, detail: String) -> EvalError {
    let detail = format!("ref_id {}, sent_id {}: {detail}", entry.ref_id, entry.sent_id);
    EvalError::Predictions(path.to_owned(), detail)
}
