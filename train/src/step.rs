//! From batches to losses and gradients.
//!
//! One pass of the language model serves all expressions of an image, and the part of the mask
//! decoder that no expression changes is computed once per image. Vocabulary scores exist only at
//! the positions that have a loss.

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use mllmseg_data::mask::Bitmap;
use mllmseg_model::Mllmseg;
use mllmseg_model::mask_decoder::DecoderImage;
use mllmseg_model::mllmseg::token_tensor;
use thiserror::Error;

use crate::batch::{TrainBatch, TrainExample};
use crate::gradients::GradientNorms;
use crate::loss::{LossValues, LossWeights, Losses, MaskLoss, cross_entropy, mask_terms};

/// Pads conversations on the right; nothing later than a token changes it.
const PADDING: u32 = 0;

/// Why a step cannot be taken.
#[derive(Debug, Error, PartialEq)]
pub enum StepError {
    /// No examples, or another number of images.
    #[error("a batch needs one image per example, found {images} images and {examples} examples")]
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
}

/// The outcome of the backward pass.
#[derive(Debug)]
pub struct StepGradients {
    /// Gradients of the trained weights.
    pub params: GradientsParams,
    /// Their norms, before any clipping.
    pub norms: GradientNorms,
    /// The losses, mean over the batches.
    pub losses: LossValues,
}

impl TrainStep {
    /// The published loss; `seg_token` is the tokenizer's id of `[SEG]`.
    pub fn new(seg_token: u32) -> Self {
        Self {
            seg_token,
            mask_loss: MaskLoss::default(),
            weights: LossWeights::default(),
        }
    }

    /// The losses of a batch, as a graph that can be differentiated when the model was prepared
    /// for training ([`TrainableSet::prepare`](crate::TrainableSet::prepare)).
    ///
    /// # Errors
    /// [`StepError::BatchSize`] and [`StepError::Example`].
    pub fn losses(&self, model: &Mllmseg, batch: &TrainBatch) -> Result<Losses, StepError> {
        let [images, ..] = batch.pixels.dims();
        let examples = batch.examples.len();
        let Some(first) = batch.examples.first().filter(|_| images == examples) else {
            return Err(StepError::BatchSize { images, examples });
        };
        let device = batch.pixels.device();
        let image_tokens = model
            .vision
            .forward(batch.pixels.clone().cast(model.dtype())); // [b, p, c], Eq. 1
        let projected = model.projector.forward(image_tokens.clone()); // [b, l, d]
        let [_, image_length, _] = projected.dims();
        let limits = Limits {
            image_start: first.image_start,
            image_length,
            vocabulary: model.language_model.embed_tokens.weight.shape()[0],
            seg_token: self.seg_token,
        };
        let layout = Layout::of(batch, limits)?;
        // Constants of the graph where vision is frozen; dropout acts on autodiff tensors only.
        let (image_tokens, projected) = (image_tokens.autodiff(), projected.autodiff());

        let rows: Vec<&[u32]> = batch.examples.iter().map(|e| &e.input_ids[..]).collect();
        let ids = token_tensor(&rows, PADDING, &device);
        let (hidden, language_tokens) = model.read(projected, ids, first.image_start); // [b, t, d], Eq. 2-4
        let states = hidden.flatten::<2>(0, 1); // [b t, d]

        let ce = if layout.targets.is_empty() {
            Tensor::zeros([1], (&device, DType::F32))
        } else {
            let predicting = states.clone().select(0, ints(&layout.predicting, &device)); // [n, d]
            let logits = model.language_model.logits(predicting); // [n, v]
            cross_entropy(logits, ints(&layout.targets, &device))
        };
        let masks = (!layout.seg_states.is_empty()).then(|| {
            let seg = states.select(0, ints(&layout.seg_states, &device)); // [n, d]
            let image = model.mask_decoder.encode(image_tokens, language_tokens);
            let images = ints(&layout.image_of, &device);
            let attended = image.attended.clone().select(0, images); // [n, p, c]
            let image = DecoderImage { attended, ..image };
            model.mask_decoder.segment(&image, seg.unsqueeze_dim(1)) // [n, size, size]
        });
        let mask = mask_terms(
            self.mask_loss,
            masks,
            &layout.truths,
            layout.rejected,
            &device,
        );
        Ok(Losses { ce, mask })
    }

    /// Losses and gradients over several batches, each weighing the same: gradient accumulation.
    ///
    /// # Errors
    /// [`StepError`]; the model is as it was.
    pub fn gradients(
        &self,
        model: &Mllmseg,
        batches: &[TrainBatch],
    ) -> Result<StepGradients, StepError> {
        let mut accumulator = GradientsAccumulator::new();
        let mut values = Vec::with_capacity(batches.len());
        for batch in batches {
            let losses = self.losses(model, batch)?;
            let value = losses.values(self.weights);
            self.check(&value)?;
            values.push(value);
            let total = losses.total(self.weights) / batches.len() as f64;
            // A batch without any loss has no graph.
            if total.is_autodiff() && total.is_tracked() {
                let gradients = GradientsParams::from_grads(total.backward(), model);
                accumulator.accumulate(model, gradients);
            }
        }
        let params = accumulator.grads();
        let norms = GradientNorms::of(model, &params);
        if let Some(path) = norms.non_finite().next() {
            return Err(StepError::NonFiniteGradient {
                count: norms.non_finite().count(),
                path: path.to_string(),
            });
        }
        Ok(StepGradients {
            params,
            norms,
            losses: LossValues::mean(&values),
        })
    }

    fn check(&self, losses: &LossValues) -> Result<(), StepError> {
        let terms = [
            ("cross-entropy", losses.ce),
            (self.mask_loss.pixel_term(), losses.pixel),
            ("dice", losses.dice),
            ("total", losses.total),
        ];
        let broken = terms.into_iter().find(|(_, value)| !value.is_finite());
        broken.map_or(Ok(()), |(term, value)| {
            Err(StepError::NonFiniteLoss { term, value })
        })
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

impl<'a> Layout<'a> {
    fn of(batch: &'a TrainBatch, limits: Limits) -> Result<Self, StepError> {
        let mut layout = Self::default();
        let lengths = batch.examples.iter().map(|example| example.input_ids.len());
        let length = lengths.max().unwrap_or(0);
        for (index, example) in batch.examples.iter().enumerate() {
            check_example(example, &limits).map_err(|message| StepError::Example {
                example: index,
                message,
            })?;
            let state = |position: usize| (index * length + position) as i32;
            for (position, label) in example.predictions() {
                layout.predicting.push(state(position));
                layout.targets.push(label as i32);
            }
            layout
                .seg_states
                .extend(example.seg_states(limits.seg_token).map(state));
            layout.truths.extend(example.masks.iter().flatten());
            layout.image_of.resize(layout.truths.len(), index as i32);
            layout.rejected += example.masks.iter().filter(|mask| mask.is_none()).count();
        }
        Ok(layout)
    }
}

/// What is wrong with an example, if anything.
fn check_example(example: &TrainExample, limits: &Limits) -> Result<(), String> {
    let (ids, labels) = (&example.input_ids, &example.labels);
    if ids.len() != labels.len() {
        return Err(format!("{} ids but {} labels", ids.len(), labels.len()));
    }
    let (start, end) = (
        limits.image_start,
        limits.image_start.saturating_add(limits.image_length),
    );
    if example.image_start != start {
        let found = example.image_start;
        return Err(format!(
            "its image starts at {found}, that of the first example at {start}"
        ));
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
        return Err(format!(
            "token {found} is not among the {vocabulary} of the vocabulary"
        ));
    }
    let asked = example.seg_states(limits.seg_token).count();
    let masks = example.masks.iter().flatten().count();
    if asked != masks {
        return Err(format!(
            "its answer has {asked} [SEG], but there are {masks} masks"
        ));
    }
    Ok(())
}

fn ints(values: &[i32], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}
