//! The one thread that owns the model: it takes what waits about one image as one batch.

use std::any::Any;
use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use mllmseg_data::image::{Orientation, decode_image, size_in_memory};
use thiserror::Error;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::cache::Cache;
use super::metrics::Metrics;
use super::queue::Queue;
use crate::formats::Found;
use crate::segmenter::{ActivationMap, ImageSession, MaskPrediction, SegmentError, Segmenter};

/// Expressions between two looks at who still waits; as many as a session computes together.
const CHUNK: usize = 8;
/// What an image is called in messages.
const NAME: &str = "the image";

/// What the worker is asked.
pub enum Task {
    Ask(Job),
    /// Drops an image, and says whether it was there.
    Forget(String, oneshot::Sender<bool>),
}

/// One request.
pub struct Job {
    /// Of the image.
    pub id: String,
    /// The image's file, where the request brings it.
    pub file: Option<Bytes>,
    pub expressions: Vec<String>,
    pub threshold: f32,
    /// Whether the activation maps are asked for.
    pub maps: bool,
    /// Who waits; nobody does when it is closed.
    pub updates: UnboundedSender<Update>,
    pub arrived: Instant,
    /// Share of the bound on waiting bodies; free again when the job is gone.
    pub _bytes: Option<OwnedSemaphorePermit>,
}

/// What becomes of a job.
pub enum Update {
    /// A stage begins.
    Stage(String),
    /// The end.
    Done(Result<Answer, Failure>),
}

/// Everything that was asked.
pub struct Answer {
    pub image: EncodedImage,
    pub found: Vec<Found>,
    pub maps: Vec<ActivationMap>,
    pub times: Times,
}

/// An image that is kept.
#[derive(Debug, Clone)]
pub struct EncodedImage {
    pub id: String,
    pub width: u32,
    pub height: u32,
    /// What it takes while it is kept.
    pub bytes: u64,
    /// Whether it was there before.
    pub cached: bool,
}

/// Of the stages of one job.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    pub queue: Duration,
    pub decode: Duration,
    pub encode: Duration,
    pub segment: Duration,
}

/// Why there is no answer.
#[derive(Debug, Clone, Error)]
pub enum Failure {
    #[error("no image {0} is kept here (any more); send it again to /v1/images")]
    NotKept(String),
    #[error("{0}")]
    Image(String),
    #[error("{0}")]
    Model(String),
    #[error("the computation stopped: {0}; the server goes on")]
    Panicked(String),
}

/// Serves until the queue is closed. Images of more pixels than `max_pixels` are refused.
pub fn work(
    segmenter: &Segmenter,
    queue: &Queue<Task>,
    metrics: &Metrics,
    cache_bytes: u64,
    max_pixels: u64,
) {
    let mut worker = Worker { segmenter, metrics, cache: Cache::new(cache_bytes), max_pixels };
    while let Some(task) = queue.pop() {
        // Who waits for a task that panics here hears that its channel is closed.
        let _ = catch_unwind(AssertUnwindSafe(|| worker.take(task, queue)));
        let (images, bytes) = worker.cache.size();
        metrics.kept(images, bytes);
    }
}

struct Worker<'a> {
    segmenter: &'a Segmenter,
    metrics: &'a Metrics,
    cache: Cache<ImageSession<'a>>,
    max_pixels: u64,
}

/// A job in a batch, with what is known so far.
struct Asked {
    job: Job,
    times: Times,
    cached: bool,
}

impl Worker<'_> {
    fn take(&mut self, task: Task, queue: &Queue<Task>) {
        match task {
            Task::Forget(id, reply) => {
                let _ = reply.send(self.cache.remove(&id)); // who asked may have gone
            }
            Task::Ask(job) => {
                let same = |task: &Task| matches!(task, Task::Ask(other) if other.id == job.id);
                let others = queue.take_all(same).into_iter().filter_map(|task| match task {
                    Task::Ask(job) => Some(job),
                    Task::Forget(..) => None,
                });
                self.answer(job, others.collect());
            }
        }
    }

    /// Answers jobs about one image together.
    fn answer(&mut self, first: Job, others: Vec<Job>) {
        let jobs = std::iter::once(first).chain(others);
        let mut batch: Vec<Asked> = jobs
            .filter(|job| !job.updates.is_closed())
            .map(|job| {
                let times = Times { queue: job.arrived.elapsed(), ..Times::default() };
                self.metrics.stage("queue", times.queue);
                Asked { cached: self.cache.contains(&job.id), job, times }
            })
            .collect();
        let Some(id) = batch.first().map(|asked| asked.job.id.clone()) else { return };
        self.metrics.cache("hit", batch.iter().filter(|asked| asked.cached).count() as u64);
        if !self.cache.contains(&id)
            && let Err(failure) = self.open(&id, &mut batch)
        {
            return batch.into_iter().for_each(|asked| asked.finish(Err(failure.clone())));
        }
        let Some((session, bytes)) = self.cache.get(&id) else { return };
        let (height, width) = session.image_size();
        let (width, height) = (width as u32, height as u32); // of a decoded image
        let image = EncodedImage { id, width, height, bytes, cached: true };
        segment_batch(session, self.metrics, &image, batch);
    }

    /// Encodes the image that one of the jobs brings.
    fn open(&mut self, id: &str, batch: &mut [Asked]) -> Result<(), Failure> {
        let file = batch.iter().find_map(|asked| asked.job.file.clone());
        let file = file.ok_or_else(|| Failure::NotKept(id.to_string()))?;
        self.metrics.cache("miss", 1);
        let tell = |stage: &str| batch.iter().for_each(|asked| asked.tell(stage));
        let (start, segmenter) = (Instant::now(), self.segmenter);
        tell("reading the image");
        check_pixels(&file, self.max_pixels)?;
        let image = guarded(|| Ok(decode_image(&file, NAME, Orientation::Upright)?))?;
        let (decode, start) = (start.elapsed(), Instant::now());
        let session = guarded(|| {
            let session = segmenter.encode_in_stages(&image, &tell)?;
            // Devices compute in the background: the first result that is read would carry this time.
            segmenter.device.device.sync().map_err(|error| segmenter.read_back(error))?;
            Ok(session)
        })?;
        let encode = start.elapsed();
        self.metrics.stage("decode", decode);
        self.metrics.stage("encode", encode);
        for asked in batch {
            (asked.times.decode, asked.times.encode) = (decode, encode);
        }
        let bytes = session.bytes();
        let evicted = self.cache.insert(id, session, bytes);
        self.metrics.cache("evicted", evicted);
        Ok(())
    }
}

/// Refuses an image of more pixels than the server takes, by its header alone.
fn check_pixels(file: &[u8], most: u64) -> Result<(), Failure> {
    let (width, height) = guarded(|| Ok(size_in_memory(file, NAME)?))?;
    if u64::from(width) * u64::from(height) <= most {
        return Ok(());
    }
    Err(Failure::Image(format!(
        "{NAME}: {width} x {height} pixels, but this server takes at most {most}; scale it down and send it again"
    )))
}

impl Asked {
    /// Its expressions with the bits of its threshold.
    fn keys(&self) -> impl Iterator<Item = (String, u32)> {
        let threshold = self.job.threshold.to_bits();
        self.job.expressions.iter().map(move |expression| (expression.clone(), threshold))
    }

    fn tell(&self, stage: &str) {
        let _ = self.job.updates.send(Update::Stage(stage.to_string())); // who asked may have gone
    }

    fn finish(self, result: Result<Answer, Failure>) {
        let _ = self.job.updates.send(Update::Done(result)); // who asked may have gone
    }
}

/// What was found for an expression at a threshold (by its bits).
type Known = HashMap<(String, u32), Result<Found, Failure>>;

/// Segments the distinct expressions of all jobs in chunks, and answers each job when its own are done.
/// Jobs whose asker has gone are left out.
fn segment_batch(
    session: &ImageSession<'_>,
    metrics: &Metrics,
    image: &EncodedImage,
    mut batch: Vec<Asked>,
) {
    let start = Instant::now();
    let mut known = Known::new();
    loop {
        let (done, left): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|asked| asked.keys().all(|key| known.contains_key(&key)));
        for mut asked in done {
            asked.times.segment = start.elapsed();
            let result = collect(session, &asked, image, &known);
            asked.finish(result);
        }
        batch = left.into_iter().filter(|asked| !asked.job.updates.is_closed()).collect();
        let wanted = batch.iter().flat_map(Asked::keys).filter(|key| !known.contains_key(key));
        let wanted: BTreeSet<_> = wanted.collect();
        let mut chunk: Vec<&str> =
            wanted.iter().map(|(expression, _)| expression.as_str()).collect();
        chunk.dedup();
        chunk.truncate(CHUNK);
        if chunk.is_empty() {
            return;
        }
        batch.iter().for_each(|asked| asked.tell(&format!("segmenting {}", chunk.join(", "))));
        let start = Instant::now();
        let found = segment_chunk(session, &chunk);
        metrics.stage("segment", start.elapsed());
        metrics.expressions(chunk.len());
        let found: HashMap<_, _> = chunk.into_iter().zip(found).collect();
        for (expression, threshold) in &wanted {
            if let Some(found) = found.get(expression.as_str()) {
                let found = found.clone().and_then(|found| encode_mask(found, *threshold));
                known.insert((expression.clone(), *threshold), found);
            }
        }
    }
}

/// One result for each expression. Where they fail together, each is tried alone, so that one request
/// does not spoil another.
fn segment_chunk(
    session: &ImageSession<'_>,
    chunk: &[&str],
) -> Vec<Result<MaskPrediction, Failure>> {
    match guarded(|| session.segment_all(chunk)) {
        Ok(found) => found.into_iter().map(Ok).collect(),
        Err(failure) if chunk.len() == 1 => vec![Err(failure)],
        Err(_) => chunk.iter().map(|one| guarded(|| session.segment(one))).collect(),
    }
}

/// The mask at a threshold, given by its bits.
fn encode_mask(found: MaskPrediction, threshold: u32) -> Result<Found, Failure> {
    let threshold = f32::from_bits(threshold);
    let found = match threshold == found.threshold {
        true => found, // as it was made
        false => guarded(|| Ok(found.at_threshold(threshold)?))?,
    };
    Ok(found.into())
}

/// The answer of one job from the expressions of its batch.
fn collect(
    session: &ImageSession<'_>,
    asked: &Asked,
    image: &EncodedImage,
    known: &Known,
) -> Result<Answer, Failure> {
    let found = asked.keys().filter_map(|key| known.get(&key).cloned());
    let found = found.collect::<Result<_, _>>()?;
    let maps = if asked.job.maps { guarded(|| session.activation_maps())? } else { Vec::new() };
    let image = EncodedImage { cached: asked.cached, ..image.clone() };
    Ok(Answer { image, found, maps, times: asked.times })
}

/// A panic, which a failing device driver can raise, becomes a failure.
fn guarded<T>(compute: impl FnOnce() -> Result<T, SegmentError>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(compute)) {
        Ok(result) => result.map_err(|error| match error {
            SegmentError::Image(error) => Failure::Image(error.to_string()),
            other => Failure::Model(other.to_string()),
        }),
        Err(payload) => Err(Failure::Panicked(reason(&*payload))),
    }
}

/// What a panic says.
fn reason(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no reason given")
        .to_string()
}
