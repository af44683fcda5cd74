//! A checkpoint's answers, image by image.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use image::RgbImage;
use mllmseg_data::mask::probability::mask_from_probabilities;
use mllmseg_data::mask::{Bitmap, Rle};
use mllmseg_data::metrics::Protocol;
use mllmseg_data::prompt::check_expression;
use rayon::prelude::*;

use super::ahead::ImagesAhead;
use super::journal::Journal;
use super::summary::Tally;
use super::{EvalError, Evaluation, MadeBy, Place, Prediction, Selection, fingerprint};
use crate::segmenter::{MaskPrediction, SegmentError, Segmenter};

/// Images answered by the device and not yet scored.
const WAITING: usize = 2;

/// How to run.
#[derive(Debug, Clone, Copy)]
pub struct RunOptions<'a> {
    /// The folder that the segmenter was loaded from.
    pub checkpoint: &'a Path,
    /// Where the answers go.
    pub predictions: Option<&'a Path>,
    /// Whether to go on with the answers that an interrupted run left there.
    pub resume: bool,
}

/// Follows a run.
pub trait Watch: Send {
    /// The run begins with `done` of `total` expressions.
    fn begin(&mut self, done: usize, total: usize);
    /// One more image is done, which makes `done` expressions and this cIoU in percent.
    fn advance(&mut self, done: usize, ciou: Option<f64>);
}

/// Asks a model every expression of a selection: each image is encoded once, pictures are decoded
/// ahead on all cores, and answers are scored while the device is busy with the next image.
///
/// Expressions that cannot be asked (no words, or a reserved token) count with an empty mask.
///
/// # Errors
/// If an image is missing (before anything is computed), damaged or not of its annotated size, if
/// the model fails, or if the predictions file cannot be written or gone on with. Answers so far
/// stay in the journal.
pub fn evaluate(
    segmenter: &Segmenter,
    selection: &Selection,
    options: RunOptions,
    watch: &mut dyn Watch,
) -> Result<Evaluation, EvalError> {
    let paths: Vec<PathBuf> = selection
        .items()
        .iter()
        .map(|item| selection.image_path(item))
        .collect::<Result<_, _>>()?;
    let mut tally = Tally::new(selection);
    let (mut journal, done) = open_journal(segmenter, selection, options, &mut tally)?;
    let pending: Vec<usize> = (0..paths.len()).filter(|item| !done.contains(item)).collect();
    let images =
        pending.iter().map(|&item| (paths[item].clone(), selection.items()[item].image.clone()));
    watch.begin(tally.outcomes.len(), selection.len());
    let (answers, receiver) = sync_channel(WAITING);
    thread::scope(|scope| {
        let scorer = Scorer { selection, tally: &mut tally, journal: journal.as_mut(), watch };
        let scoring = scope.spawn(move || scorer.run(receiver));
        let asked = ask_all(segmenter, selection, &pending, images, answers);
        let scored = scoring.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // When scoring fails, asking merely stops.
        scored.and(asked)
    })?;
    if let Some(journal) = journal {
        journal.finish()?;
    }
    Ok(tally.finish(selection))
}

fn open_journal(
    segmenter: &Segmenter,
    selection: &Selection,
    options: RunOptions,
    tally: &mut Tally,
) -> Result<(Option<Journal>, HashSet<usize>), EvalError> {
    let Some(predictions) = options.predictions else {
        return Ok((None, HashSet::new()));
    };
    let benchmark = selection.benchmark().options();
    let label = MadeBy {
        checkpoint: fingerprint::of_checkpoint(options.checkpoint)?,
        dtype: segmenter.model().dtype().name().to_string(),
        dataset: benchmark.dataset.to_string(),
        split: benchmark.split.to_string(),
        split_by: benchmark.split_by().to_owned(),
        protocol: benchmark.protocol,
    };
    if options.resume {
        let (journal, done) = Journal::resume(predictions, &label, selection, tally)?;
        Ok((Some(journal), done))
    } else {
        Ok((Some(Journal::begin(predictions, &label)?), HashSet::new()))
    }
}

/// The answers for one image: `None` for an expression that cannot be asked.
struct Answers {
    item: usize,
    masks: Vec<Option<MaskPrediction>>,
}

fn ask_all(
    segmenter: &Segmenter,
    selection: &Selection,
    pending: &[usize],
    images: impl Iterator<Item = (PathBuf, mllmseg_data::refer::ImageInfo)>,
    answers: SyncSender<Answers>,
) -> Result<(), EvalError> {
    let orientation = selection.benchmark().options().dataset.orientation();
    for (&item, image) in pending.iter().zip(ImagesAhead::new(images, orientation)) {
        let of_image = &selection.items()[item];
        let texts: Vec<&str> = of_image.expressions.iter().map(|asked| asked.text).collect();
        let masks = ask(segmenter, &image?, &texts).map_err(|source| EvalError::Segment {
            image_id: of_image.image.id,
            file_name: of_image.image.file_name.to_string(),
            source: Box::new(source),
        })?;
        if answers.send(Answers { item, masks }).is_err() {
            break; // scoring has failed and says why
        }
    }
    Ok(())
}

fn ask(
    segmenter: &Segmenter,
    image: &RgbImage,
    texts: &[&str],
) -> Result<Vec<Option<MaskPrediction>>, SegmentError> {
    let askable: Vec<bool> =
        texts.iter().map(|text| check_expression(segmenter.tokenizer(), text).is_ok()).collect();
    let asked: Vec<&str> =
        texts.iter().zip(&askable).filter_map(|(text, askable)| askable.then_some(*text)).collect();
    let mut masks = segmenter.encode(image)?.segment_all(&asked)?.into_iter();
    Ok(askable.into_iter().map(|askable| if askable { masks.next() } else { None }).collect())
}

/// What follows the device: masks, run lengths, scores, the journal.
struct Scorer<'a, 'd> {
    selection: &'a Selection<'d>,
    tally: &'a mut Tally,
    journal: Option<&'a mut Journal>,
    watch: &'a mut dyn Watch,
}

impl Scorer<'_, '_> {
    fn run(mut self, answers: Receiver<Answers>) -> Result<(), EvalError> {
        for Answers { item, masks } in answers {
            let selection = self.selection;
            let scored: Vec<_> = masks
                .into_par_iter()
                .enumerate()
                .map(|(expression, mask)| score_one(selection, Place { item, expression }, mask))
                .collect();
            let mut entries = Vec::with_capacity(scored.len());
            for one in scored {
                let (judged, entry) = one?;
                self.tally.add(judged);
                self.tally.unasked += usize::from(entry.unasked);
                entries.push(entry);
            }
            if let Some(journal) = &mut self.journal {
                journal.append(&entries)?;
            }
            let done = self.tally.outcomes.len();
            self.watch.advance(done, self.tally.scores.ciou());
        }
        Ok(())
    }
}

type Scored = ((super::Scores, super::Outcome), Prediction);

fn score_one(
    selection: &Selection,
    place: Place,
    answer: Option<MaskPrediction>,
) -> Result<Scored, EvalError> {
    let (item, expression) = selection.expression(place);
    let failed = |source| EvalError::Segment {
        image_id: item.image.id,
        file_name: item.image.file_name.to_string(),
        source: Box::new(source),
    };
    let protocol = selection.benchmark().options().protocol;
    let size = (item.image.height as usize, item.image.width as usize);
    let mask = scored_mask(answer.as_ref(), size, protocol).map_err(failed)?;
    let rejected = answer.as_ref().is_some_and(|answer| answer.rejected);
    let judged = selection.judge(place, &mask, rejected)?;
    let entry = Prediction {
        made_by: None,
        ref_id: expression.ref_id,
        sent_id: expression.sent_id,
        segmentation: Rle::from_bitmap(&mask).into(),
        rejected,
        score: answer.as_ref().map(|answer| f64::from(answer.score)),
        unasked: answer.is_none(),
    };
    Ok((judged, entry))
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
            mask_from_probabilities(&answer.probabilities, size, (height, width))?
        }
        Some(answer) => answer.mask.clone(),
    })
}
