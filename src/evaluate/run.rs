//! A checkpoint's answers, image by image.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use image::RgbImage;
use mllmseg_data::image::ImageError;
use mllmseg_data::mask::probability::mask_from_probabilities;
use mllmseg_data::mask::{Bitmap, Rle};
use mllmseg_data::metrics::Protocol;
use mllmseg_data::prompt::check_expression;
use mllmseg_data::refer::ReferItem;
use rayon::prelude::*;

use super::journal::Journal;
use super::results::Results;
use super::{
    EvalError, Evaluation, GroundTruth, MadeBy, Place, Prediction, Selection, fingerprint,
};
use crate::ahead::answer_all;
use crate::segmenter::{MaskPrediction, SegmentError, Segmenter};

/// Images whose answers wait to be scored.
const WAITING: usize = 2;

/// How to run.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunOptions<'a> {
    /// Where the answers go.
    pub predictions: Option<&'a Path>,
    /// Whether to keep the answers that an interrupted run left there.
    pub resume: bool,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Expressions that are done.
    pub done: usize,
    /// All expressions.
    pub total: usize,
    /// cIoU so far, in percent.
    pub ciou: Option<f64>,
}

/// Asks a model every expression of a selection. Each image is encoded once, ahead of the scoring
/// ([`answer_all`]).
///
/// Expressions that cannot be asked (no words, or a reserved token) count with an empty mask.
/// `watch` is called before the first image, and after each.
///
/// # Errors
/// If an image is missing (before anything is computed), damaged or not of its annotated size, if
/// the model fails, or if the predictions file cannot be written or resumed. Answers so far stay in
/// the journal.
pub fn evaluate(
    segmenter: &Segmenter,
    selection: &Selection,
    options: RunOptions,
    watch: &mut (dyn FnMut(Progress) + Send),
) -> Result<Evaluation, EvalError> {
    for item in &selection.items {
        selection.benchmark.data.image_path(item.image)?;
    }
    let mut results = Results::new(selection);
    let (journal, done) = open_journal(segmenter, selection, options, &mut results)?;
    let pending: Vec<usize> =
        (0..selection.items.len()).filter(|item| !done.contains(item)).collect();
    let mut scorer = Scorer { selection, results, journal, watch };
    scorer.report();
    let scorer = thread::scope(|scope| {
        let read = |&item: &usize| read_image(selection, &selection.items[item]);
        let answer =
            |&item: &usize, image| Ok((item, ask(segmenter, &selection.items[item], image?)?));
        let answered = answer_all(scope, segmenter, &pending, read, answer);
        let (send_answers, answers) = sync_channel(WAITING);
        let scoring = scope.spawn(move || scorer.run(answers));
        let asked = send_all(answered, send_answers);
        let scored = scoring.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // When scoring fails, asking merely stops.
        scored.and_then(|scorer| asked.map(|()| scorer))
    })?;
    if let Some(journal) = scorer.journal {
        journal.finish()?;
    }
    Ok(scorer.results.finish(selection))
}

fn open_journal(
    segmenter: &Segmenter,
    selection: &Selection,
    options: RunOptions,
    results: &mut Results,
) -> Result<(Option<Journal>, HashSet<usize>), EvalError> {
    let Some(predictions) = options.predictions else {
        return Ok((None, HashSet::new()));
    };
    let benchmark = &selection.benchmark.options;
    let label = MadeBy {
        checkpoint: fingerprint::of_checkpoint(&segmenter.dir)?,
        dtype: segmenter.model.dtype().name().to_string(),
        dataset: benchmark.dataset.to_string(),
        split: benchmark.split.to_string(),
        split_by: benchmark.split_by().to_owned(),
        protocol: benchmark.protocol,
        threshold: segmenter.threshold,
        shard: selection.shard,
    };
    let (journal, done) = match options.resume {
        true => Journal::resume(predictions, label, selection, results)?,
        false => (Journal::begin(predictions, label)?, HashSet::new()),
    };
    Ok((Some(journal), done))
}

type Image = Result<RgbImage, EvalError>;

/// The pixels of an item's image in the orientation of the annotations, and of the annotated size.
pub(super) fn read_image(selection: &Selection, item: &ReferItem) -> Image {
    let path = selection.benchmark.data.image_path(item.image)?;
    let orientation = selection.benchmark.options.dataset.orientation();
    // A decoder that panics must not end the program.
    let read = catch_unwind(AssertUnwindSafe(|| item.image.read(&path, orientation)));
    Ok(read.unwrap_or_else(|_| {
        let (name, reason) = (path.display().to_string(), "the decoder panicked".into());
        Err(ImageError::Damaged { name, format: "image", reason }.into())
    })?)
}

/// The index of an image, and its answers: `None` for an expression that cannot be asked.
type Answers = (usize, Vec<Option<MaskPrediction>>);

fn send_all(
    answered: impl Iterator<Item = Result<Answers, EvalError>>,
    send: SyncSender<Answers>,
) -> Result<(), EvalError> {
    for answers in answered {
        if send.send(answers?).is_err() {
            break; // scoring has failed and says why
        }
    }
    Ok(())
}

fn ask(
    segmenter: &Segmenter,
    item: &ReferItem,
    image: RgbImage,
) -> Result<Vec<Option<MaskPrediction>>, EvalError> {
    let texts = item.expressions.iter().map(|asked| asked.text);
    let askable = |text: &&str| check_expression(&segmenter.tokenizer, text).is_ok();
    let asked: Vec<&str> = texts.clone().filter(askable).collect();
    let session = segmenter.encode(&image).map_err(|error| failed(item, error))?;
    let masks = session.segment_all(&asked).map_err(|error| failed(item, error))?;
    let mut masks = masks.into_iter();
    Ok(texts.map(|text| askable(&text).then(|| masks.next()).flatten()).collect())
}

fn failed(item: &ReferItem, source: SegmentError) -> EvalError {
    EvalError::Segment(item.image.id, item.image.file_name.to_string(), Box::new(source))
}

/// What follows the device: masks, run lengths, scores, the journal.
struct Scorer<'a, 'd> {
    selection: &'a Selection<'d>,
    results: Results,
    journal: Option<Journal>,
    watch: &'a mut (dyn FnMut(Progress) + Send),
}

impl Scorer<'_, '_> {
    fn run(mut self, answers: Receiver<Answers>) -> Result<Self, EvalError> {
        for (item, masks) in answers {
            let selection = self.selection;
            let scored: Vec<_> = masks
                .into_par_iter()
                .enumerate()
                .map(|(expression, mask)| entry_of(selection, Place { item, expression }, mask))
                .collect();
            let mut entries = Vec::with_capacity(scored.len());
            for (expression, one) in scored.into_iter().enumerate() {
                let (entry, mask, truth) = one?;
                let place = Place { item, expression };
                self.results.add(selection, place, &entry, &mask, &truth)?;
                entries.push(entry);
            }
            if let Some(journal) = &mut self.journal {
                journal.append(entries)?;
            }
            self.report();
        }
        Ok(self)
    }

    fn report(&mut self) {
        let (done, total) = (self.results.outcomes.len(), self.selection.expression_count());
        (self.watch)(Progress { done, total, ciou: self.results.numbers().get("ciou") });
    }
}

/// An answer's entry and mask, and the annotation to compare it with.
fn entry_of(
    selection: &Selection,
    place: Place,
    answer: Option<MaskPrediction>,
) -> Result<(Prediction, Bitmap, GroundTruth), EvalError> {
    let (item, expression) = selection.expression(place);
    let protocol = selection.benchmark.options.protocol;
    let size = (item.image.height as usize, item.image.width as usize);
    let mask = scored_mask(answer.as_ref(), size, protocol).map_err(|error| failed(item, error))?;
    let entry = Prediction {
        made_by: None,
        ref_id: expression.ref_id,
        sent_id: expression.sent_id,
        segmentation: Rle::from_bitmap(&mask).into(),
        rejected: answer.as_ref().is_some_and(|answer| answer.rejected),
        score: answer.as_ref().map(|answer| f64::from(answer.score)),
        unasked: answer.is_none(),
    };
    Ok((entry, mask, selection.ground_truth(place)?))
}

/// The mask that the protocol scores.
fn scored_mask(
    answer: Option<&MaskPrediction>,
    (height, width): (usize, usize),
    protocol: Protocol,
) -> Result<Bitmap, SegmentError> {
    Ok(match answer {
        None => Bitmap::new(height, width)?,
        Some(answer) if answer.rejected && protocol == Protocol::Released => {
            let size = (answer.size, answer.size);
            mask_from_probabilities(&answer.probabilities, size, (height, width), answer.threshold)?
        }
        Some(answer) => answer.mask.clone(),
    })
}
