//! From batches to losses and gradients.
//!
//! One pass of the language model serves all expressions of an image: joined in one conversation, as
//! published, or asked apart, as continuations of one prefix. The part of the mask decoder that no
//! expression changes is computed once per image. Vocabulary scores exist only at
//! the positions that have a loss.

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{DType, Device, Gradients, Int, Tensor, TensorData};
use mllmseg_data::mask::Bitmap;
use mllmseg_model::Mllmseg;
use mllmseg_model::language::{Reading, Streams};
use mllmseg_model::mask_decoder::DecoderImage;
use mllmseg_model::mllmseg::{Transcript, token_tensor};
use thiserror::Error;

use crate::batch::{LossCounts, TrainBatch, TrainExample};
use crate::gradients::GradientNorms;
use crate::loss::{LossValues, LossWeights, Losses, MaskLoss, cross_entropy, mask_terms};
use crate::recompute;

/// Pads conversations on the right; nothing later than a token changes it.
const PADDING: u32 = 0;

/// Why a step cannot be taken.
#[derive(Debug, Clone, Error, PartialEq)]
pub enum StepError {
    /// No examples, or images and examples that do not go together.
    #[error(
        "a batch needs one or more examples for each image, in the order of the images; found \
         {images} images and {examples} examples"
    )]
    BatchSize {
        /// Rows of `pixels`.
        images: usize,
        /// Examples.
        examples: usize,
    },
    /// An example that contradicts itself or the model.
    #[error("example {example} of the batch: {message}; build it from a tokenized conversation")]
    Example {
        /// Its index.
        example: usize,
        /// What was expected and what was found.
        message: String,
    },
    /// A loss that is infinite or not a number.
    #[error(
        "the {term} loss is {value}; the step is not taken. Lower the learning rate, or go back to \
         the last snapshot"
    )]
    NonFiniteLoss {
        /// Which term.
        term: &'static str,
        /// Its value.
        value: f64,
    },
    /// A gradient that is infinite or not a number.
    #[error(
        "the gradients of {count} weights are not finite, the first that of {path}; the step is \
         not taken. Lower the learning rate, or go back to the last snapshot"
    )]
    NonFiniteGradient {
        /// How many weights.
        count: usize,
        /// Path of the first.
        path: String,
    },
}

/// How a batch becomes a loss.
#[derive(Debug, Clone, Copy)]
pub struct TrainStep {
    /// Id of `[SEG]`.
    pub seg_token: u32,
    /// Which loss compares masks.
    pub mask_loss: MaskLoss,
    /// Factors of the terms.
    pub weights: LossWeights,
    /// Whether the inside of the language model's layers is computed a second time on the way back
    /// instead of being held ([`recompute`]): less memory, more time, the
    /// same gradients.
    pub recompute: bool,
}

/// The outcome of the backward pass.
#[derive(Debug)]
pub struct StepGradients {
    /// Gradients of the trained weights.
    pub params: GradientsParams,
    /// Their norms, before any clipping.
    pub norms: GradientNorms,
    /// The losses, means over everything in the step.
    pub losses: LossValues,
}

/// What some of a step's batches contribute to it.
#[derive(Debug)]
pub struct GradientShare {
    /// Gradients of the trained weights.
    pub params: GradientsParams,
    /// Contributions to the losses.
    pub losses: LossValues,
}

impl StepGradients {
    /// The same if all gradients are finite.
    pub(crate) fn checked(self) -> Result<Self, StepError> {
        let first = self.norms.non_finite().next().map(str::to_string);
        match first {
            None => Ok(self),
            Some(path) => {
                let count = self.norms.non_finite().count();
                Err(StepError::NonFiniteGradient { count, path })
            }
        }
    }
}

impl TrainStep {
    /// The published loss; `seg_token` is the tokenizer's id of `[SEG]`.
    pub fn new(seg_token: u32) -> Self {
        Self {
            seg_token,
            mask_loss: MaskLoss::default(),
            weights: LossWeights::default(),
            recompute: false,
        }
    }

    /// The losses of a batch, as a graph that can be differentiated when the model was prepared
    /// for training ([`TrainableSet::prepare`](crate::TrainableSet::prepare)).
    ///
    /// # Errors
    /// [`StepError::BatchSize`] and [`StepError::Example`].
    pub fn losses(&self, model: &Mllmseg, batch: &TrainBatch) -> Result<Losses, StepError> {
        let scene = Scene::of(model, batch, self.seg_token)?;
        let (streams, reading) = scene.embed(model); // Eq. 2
        let streams = model.language_model.read(streams, &reading); // Eq. 3
        let image_tokens = scene.image_tokens.clone();
        Ok(self.judge(model, &scene, image_tokens, streams))
    }

    /// The losses of what came out of the language model's last layer.
    pub(crate) fn judge(
        &self,
        model: &Mllmseg,
        scene: &Scene<'_>,
        image_tokens: Tensor<3>,
        streams: Streams,
    ) -> Losses {
        let Scene { layout, device, .. } = scene;
        let (hidden, language_tokens) = // [n, t, d], [b, l, d], Eq. 4
            model.finish(streams, scene.image_start, &scene.projected);
        let states = hidden.flatten::<2>(0, 1); // [n t, d]
        let ce = if layout.targets.is_empty() {
            Tensor::zeros([1], (device, DType::F32))
        } else {
            let predicting = states.clone().select(0, ints(&layout.predicting, device)); // [k, d]
            let logits = model.language_model.logits(predicting); // [k, v]
            cross_entropy(logits, ints(&layout.targets, device))
        };
        let masks = (!layout.seg_states.is_empty()).then(|| {
            let seg = states.select(0, ints(&layout.seg_states, device)); // [m, d]
            let image = model.mask_decoder.encode(image_tokens, language_tokens);
            let images = ints(&layout.image_of, device);
            let attended = image.attended.clone().select(0, images); // [m, p, c]
            let image = DecoderImage { attended, ..image };
            model.mask_decoder.segment(&image, seg.unsqueeze_dim(1)) // [m, size, size]
        });
        let mask = mask_terms(self.mask_loss, masks, &layout.truths, layout.rejected, device);
        Losses { ce, mask }
    }

    /// Losses and gradients of one step, whose means are taken over all its batches: gradient
    /// accumulation.
    ///
    /// # Errors
    /// [`StepError`]; the model is as it was.
    pub fn gradients(
        &self,
        model: &Mllmseg,
        batches: &[TrainBatch],
    ) -> Result<StepGradients, StepError> {
        let counts = LossCounts::of(batches.iter().flat_map(|batch| &batch.examples));
        let share = self.share_of_gradients(model, batches, counts)?;
        let norms = GradientNorms::of(model, &share.params);
        StepGradients { params: share.params, norms, losses: share.losses }.checked()
    }

    /// What some batches contribute to the losses and gradients of a step that counts `step` tokens
    /// and expressions in all: the sum over all batches of the step is its outcome.
    ///
    /// # Errors
    /// [`StepError`], but gradients are not checked.
    pub fn share_of_gradients(
        &self,
        model: &Mllmseg,
        batches: &[TrainBatch],
        step: LossCounts,
    ) -> Result<GradientShare, StepError> {
        let mut accumulator = GradientsAccumulator::new();
        let mut values = Vec::with_capacity(batches.len());
        for batch in batches {
            let shares = (LossCounts::of(&batch.examples), step);
            values.push(if self.recompute {
                recompute::gradients(self, model, batch, shares, &mut accumulator)?
            } else {
                let (value, gradients) = self.backward(self.losses(model, batch)?, shares)?;
                if let Some(gradients) = gradients {
                    accumulator.accumulate(model, GradientsParams::from_grads(gradients, model));
                }
                value
            });
        }
        Ok(GradientShare { params: accumulator.grads(), losses: values.into_iter().sum() })
    }

    /// What a batch contributes to the losses of a step, given the counts of both, and all gradients
    /// of it; none where there is nothing to learn.
    pub(crate) fn backward(
        &self,
        losses: Losses,
        (batch, step): (LossCounts, LossCounts),
    ) -> Result<(LossValues, Option<Gradients>), StepError> {
        let losses = losses.share(batch, step);
        let values = losses.values(self.weights);
        self.check(&values)?;
        let total = losses.total(self.weights);
        // A batch without any loss has no graph.
        let learns = total.is_autodiff() && total.is_tracked();
        // All that is held must be held by the graph alone, which lets go of it on its way back.
        drop(losses);
        Ok((values, learns.then(|| total.backward())))
    }

    fn check(&self, losses: &LossValues) -> Result<(), StepError> {
        let terms = [
            ("cross-entropy", losses.ce),
            (self.mask_loss.pixel_term(), losses.pixel),
            ("dice", losses.dice),
            ("total", losses.total),
        ];
        let broken = terms.into_iter().find(|(_, value)| !value.is_finite());
        broken.map_or(Ok(()), |(term, value)| Err(StepError::NonFiniteLoss { term, value }))
    }
}

/// Whether every image has examples and every example an image; the first example.
fn check_rows(batch: &TrainBatch) -> Result<&TrainExample, StepError> {
    let [images, ..] = batch.pixels.dims();
    let examples = batch.examples.len();
    let rows = &batch.image_of;
    let starts_and_ends =
        rows.first() == Some(&0) && rows.last().map(|last| last + 1) == Some(images);
    let goes_on = rows.windows(2).all(|pair| pair[0] <= pair[1] && pair[1] <= pair[0] + 1);
    let fits = rows.len() == examples && starts_and_ends && goes_on;
    batch.examples.first().filter(|_| fits).ok_or(StepError::BatchSize { images, examples })
}

/// A batch that was looked at: Eq. 1 is behind it, the language model before it.
pub(crate) struct Scene<'a> {
    layout: Layout<'a>,
    device: Device,
    batch: &'a TrainBatch,
    /// Tokens at the start of each example that are read once per image.
    skipped: usize,
    image_start: usize,
    /// T_img1 `[b, p, c]`, on the autodiff device: a constant where vision is frozen.
    pub(crate) image_tokens: Tensor<3>,
    /// After `mlp1`, `[b, l, d]`, likewise.
    projected: Tensor<3>,
}

impl<'a> Scene<'a> {
    /// Checks a batch and looks at its images.
    pub(crate) fn of(
        model: &Mllmseg,
        batch: &'a TrainBatch,
        seg_token: u32,
    ) -> Result<Self, StepError> {
        let first = check_rows(batch)?;
        let image_tokens = model.vision.forward(batch.pixels.clone().cast(model.dtype())); // [b, p, c], Eq. 1
        let projected = model.projector.forward(image_tokens.clone()); // [b, l, d]
        let [_, image_length, _] = projected.dims();
        let limits = Limits {
            image_start: first.image_start,
            image_length,
            vocabulary: model.language_model.embed_tokens.weight.shape()[0],
            seg_token,
        };
        Ok(Self {
            layout: Layout::of(batch, &limits)?,
            device: batch.pixels.device(),
            batch,
            skipped: limits.skipped(batch),
            image_start: limits.image_start,
            // Dropout acts on autodiff tensors only.
            image_tokens: image_tokens.autodiff(),
            projected: projected.autodiff(),
        })
    }

    /// Eq. 2: what the language model reads: whole conversations, or, where images are shared, what
    /// precedes the words and the continuations.
    pub(crate) fn embed(&self, model: &Mllmseg) -> (Streams, Reading) {
        let Self { batch, skipped, device, .. } = self;
        let rows: Vec<&[u32]> = batch.examples.iter().map(|e| &e.input_ids[*skipped..]).collect();
        let ids = token_tensor(&rows, PADDING, device); // [n, t]
        let (ids, branches) = if batch.is_branched() {
            let [images, ..] = batch.pixels.dims();
            let prefix = &batch.examples[0].input_ids[..*skipped];
            let prefixes = token_tensor(&vec![prefix; images], PADDING, device); // [b, p]
            let image_of: Vec<i32> = batch.image_of.iter().map(|&row| row as i32).collect();
            (prefixes, Some((ids, ints(&image_of, device))))
        } else {
            (ids, None)
        };
        let transcript = Transcript { ids, image_start: self.image_start, branches };
        model.embed(self.projected.clone(), transcript)
    }
}

/// Where everything is in the flattened batch of `[b t]` states.
#[derive(Default)]
struct Layout<'a> {
    /// States that predict a counted token.
    predicting: Vec<i32>,
    /// The tokens.
    targets: Vec<i32>,
    /// States that become T_seg.
    seg_states: Vec<i32>,
    /// For each of them, the row of its image.
    image_of: Vec<i32>,
    /// For each of them, the true mask.
    truths: Vec<&'a Bitmap>,
    /// Expressions without a target.
    rejected: usize,
}

/// Sizes that every example must fit.
struct Limits {
    /// Position of the first `<IMG_CONTEXT>`.
    image_start: usize,
    /// How many there are.
    image_length: usize,
    /// Rows of the token table.
    vocabulary: usize,
    /// Id of `[SEG]`.
    seg_token: u32,
}

impl Limits {
    /// Tokens up to and including `</img>`.
    fn prefix(&self) -> usize {
        self.image_start.saturating_add(self.image_length).saturating_add(1)
    }

    /// Tokens at the start of each example that its states do not include.
    fn skipped(&self, batch: &TrainBatch) -> usize {
        if batch.is_branched() { self.prefix() } else { 0 }
    }
}

impl<'a> Layout<'a> {
    fn of(batch: &'a TrainBatch, limits: &Limits) -> Result<Self, StepError> {
        let mut layout = Self::default();
        let branched = batch.is_branched();
        let prefix = branched.then(|| batch.examples[0].input_ids.get(..limits.prefix())).flatten();
        for (index, example) in batch.examples.iter().enumerate() {
            check_example(example, limits)
                .and_then(|()| if branched { check_prefix(example, prefix) } else { Ok(()) })
                .map_err(|message| StepError::Example { example: index, message })?;
        }
        let skipped = limits.skipped(batch);
        let lengths = batch.examples.iter().map(|example| example.input_ids.len() - skipped);
        let length = lengths.max().unwrap_or(0);
        for (index, example) in batch.examples.iter().enumerate() {
            let state = |position: usize| (index * length + position - skipped) as i32;
            for (position, label) in example.predictions() {
                layout.predicting.push(state(position));
                layout.targets.push(label as i32);
            }
            layout.seg_states.extend(example.seg_states(limits.seg_token).map(state));
            layout.truths.extend(example.masks.iter().flatten());
            layout.image_of.resize(layout.truths.len(), batch.image_of[index] as i32);
            layout.rejected += example.masks.iter().filter(|mask| mask.is_none()).count();
        }
        Ok(layout)
    }
}

/// What keeps an example from being read as a continuation of `prefix`, if anything.
fn check_prefix(example: &TrainExample, prefix: Option<&[u32]>) -> Result<(), String> {
    let Some(prefix) = prefix.filter(|prefix| example.input_ids.starts_with(prefix)) else {
        return Err("its tokens up to </img> differ from those of the first example".into());
    };
    let early = example.predictions().find(|&(position, _)| position < prefix.len());
    match early {
        Some((position, _)) => Err(format!(
            "it learns from position {position}, but images that are shared end at {}",
            prefix.len()
        )),
        None => Ok(()),
    }
}

/// What is wrong with an example, if anything.
fn check_example(example: &TrainExample, limits: &Limits) -> Result<(), String> {
    let (ids, labels) = (&example.input_ids, &example.labels);
    if ids.len() != labels.len() {
        return Err(format!("{} ids but {} labels", ids.len(), labels.len()));
    }
    let (start, end) = (limits.image_start, limits.image_start.saturating_add(limits.image_length));
    if example.image_start != start {
        let found = example.image_start;
        return Err(format!("its image starts at {found}, that of the first example at {start}"));
    }
    if start == 0 || end > ids.len() {
        let length = ids.len();
        return Err(format!(
            "its image should be at {start}..{end}, after at least one token and inside the {length}"
        ));
    }
    let vocabulary = limits.vocabulary;
    let unknown_id = ids.iter().find(|&&id| id as usize >= vocabulary);
    let unknown_label = example
        .predictions()
        .map(|(_, label)| label)
        .find(|&label| label < 0 || label >= vocabulary as i64);
    if let Some(found) = unknown_id.map(|&id| i64::from(id)).or(unknown_label) {
        return Err(format!("token {found} is not among the {vocabulary} of the vocabulary"));
    }
    let asked = example.seg_states(limits.seg_token).count();
    let masks = example.masks.iter().flatten().count();
    if asked != masks {
        return Err(format!("its answer has {asked} [SEG], but there are {masks} masks"));
    }
    Ok(())
}

fn ints(values: &[i32], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}
