//! Losses and gradients of batches.
//!
//! One pass of the language model serves all expressions of an image: in one joint conversation, as
//! published, or in separate continuations of one prefix. The part of the mask decoder that does not
//! depend on expressions is computed once per image. Logits are computed only at the positions that
//! have a loss.

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{DType, Gradients, Tensor};
use mllmseg_model::Mllmseg;
use mllmseg_model::dropout::mix;
use mllmseg_model::mask_decoder::batch_norm::BatchStatistics;
use mllmseg_model::mllmseg::language_tokens;

use crate::batch::{LossCounts, TrainBatch};
use crate::gradient_checkpointing;
use crate::gradients::GradientNorms;
use crate::loss::{LossConfig, LossValues, Losses, cross_entropy, mask_terms};
use crate::prepare::{PreparedBatch, ints};
use crate::shared_prefix::SharedPrefixBatch;
pub use crate::step_error::StepError;

/// How the losses of a batch are computed.
#[derive(Debug, Clone, Copy)]
pub struct TrainStep {
    /// Id of `[SEG]`.
    pub seg_token: u32,
    /// The terms of the loss and their factors.
    pub loss: LossConfig,
    /// Whether the layers of the language model are computed a second time in the backward pass,
    /// instead of being held: less memory, more time, the same gradients.
    pub gradient_checkpointing: bool,
}

/// The outcome of the backward pass over a step.
#[derive(Debug)]
pub struct StepGradients {
    /// Gradients of the trained weights.
    pub params: GradientsParams,
    /// Their norms, before any clipping.
    pub norms: GradientNorms,
    /// The losses, means over everything in the step.
    pub losses: LossValues,
    /// Batch statistics of the mask head, conversation by conversation
    /// ([`BatchNorm::updated`](mllmseg_model::mask_decoder::batch_norm::BatchNorm::updated)).
    pub batch_statistics: Vec<BatchStatistics>,
}

/// What some of a step's batches contribute to it; the fields are those of [`StepGradients`].
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of StepGradients")]
pub struct GradientShare {
    pub params: GradientsParams,
    pub losses: LossValues,
    pub batch_statistics: Vec<BatchStatistics>,
}

impl GradientShare {
    /// The outcome of a step that this is all of, if its gradients are finite.
    pub(crate) fn finish(self, model: &Mllmseg) -> Result<StepGradients, StepError> {
        let Self { params, losses, batch_statistics } = self;
        let norms = GradientNorms::of(model, &params);
        norms.check()?;
        Ok(StepGradients { params, norms, losses, batch_statistics })
    }
}

impl TrainStep {
    /// The published loss; `seg_token` is the tokenizer's id of `[SEG]`.
    pub fn new(seg_token: u32) -> Self {
        Self { seg_token, loss: LossConfig::default(), gradient_checkpointing: false }
    }

    /// The losses of a batch, as a graph that can be differentiated when the model was prepared
    /// for training ([`TrainableSet::prepare`](crate::TrainableSet::prepare)). `seed` decides
    /// the dropout of the adapters; that of the mask decoder comes from its device.
    ///
    /// # Errors
    /// [`StepError::BatchSize`] and [`StepError::Example`].
    pub fn losses(
        &self,
        model: &Mllmseg,
        batch: &TrainBatch,
        seed: u64,
    ) -> Result<Losses, StepError> {
        let prepared = PreparedBatch::new(model, batch, self.seg_token)?; // Eq. 1
        let output = through_layers(model, &prepared, seed);
        let image_tokens = prepared.image_tokens.clone();
        Ok(self.compute_losses(model, &prepared, image_tokens, output).0)
    }

    /// Eq. 4-15 from the output of the last layer of the language model: the losses, and the batch
    /// statistics of the mask head.
    fn compute_losses(
        &self,
        model: &Mllmseg,
        batch: &PreparedBatch<'_>,
        image_tokens: Tensor<3>,
        output: SharedPrefixBatch,
    ) -> (Losses, Vec<BatchStatistics>) {
        let PreparedBatch { targets, device, projected, .. } = batch;
        let SharedPrefixBatch { prefixes, continuations } =
            output.map(|x| model.language_model.final_norm(x));
        let language_tokens = language_tokens(&prefixes, projected, batch.image_start); // [b, l, d], Eq. 4
        let hidden = continuations.unwrap_or(prefixes); // [n, t, d]
        let ce = if targets.tokens.is_empty() {
            Tensor::zeros([1], (device, DType::F32))
        } else {
            let states = hidden.clone().flatten::<2>(0, 1); // [n t, d]
            let predicting = states.select(0, ints(&targets.predicting, device)); // [k, d]
            let logits = model.language_model.lm_head.forward(predicting); // [k, v]
            cross_entropy(logits, ints(&targets.tokens, device))
        };
        let segmented = (!targets.segs.is_empty()).then(|| {
            let image = model.mask_decoder.encode(image_tokens, language_tokens);
            model.segment(&image, &hidden, batch.prefix_len, &targets.segs)
        });
        let (masks, statistics) = segmented.map(|out| (out.masks, out.batch_statistics)).unzip();
        let mask = mask_terms(self.loss.mask, masks, &targets.masks, targets.rejected, device);
        (Losses { ce, mask }, statistics.unwrap_or_default())
    }

    /// Losses and gradients of one step, whose means are taken over all its batches: gradient
    /// accumulation. Dropout depends on `seed` alone.
    ///
    /// # Errors
    /// [`StepError`]; the model is as it was.
    pub fn gradients(
        &self,
        model: &Mllmseg,
        batches: &[TrainBatch],
        seed: u64,
    ) -> Result<StepGradients, StepError> {
        let counts = LossCounts::of(batches.iter().flat_map(|batch| &batch.examples));
        self.share_of_gradients(model, batches, counts, seed)?.finish(model)
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
        seed: u64,
    ) -> Result<GradientShare, StepError> {
        model.mask_decoder.device().without_autodiff().seed(seed);
        let mut accumulator = GradientsAccumulator::new();
        let (mut losses, mut batch_statistics) = (Vec::new(), Vec::new());
        for (index, batch) in batches.iter().enumerate() {
            let counts = (LossCounts::of(&batch.examples), step);
            let seed = mix(seed ^ mix(index as u64));
            let (values, statistics) =
                self.accumulate_gradients(model, batch, counts, seed, &mut accumulator)?;
            losses.push(values);
            batch_statistics.extend(statistics);
        }
        let losses = losses.into_iter().sum();
        Ok(GradientShare { params: accumulator.grads(), losses, batch_statistics })
    }

    /// What a batch contributes to the losses of a step, given the counts of both; its gradients are
    /// added to `accumulator`.
    fn accumulate_gradients(
        &self,
        model: &Mllmseg,
        batch: &TrainBatch,
        counts: (LossCounts, LossCounts),
        seed: u64,
        accumulator: &mut GradientsAccumulator<Mllmseg>,
    ) -> Result<(LossValues, Vec<BatchStatistics>), StepError> {
        let prepared = PreparedBatch::new(model, batch, self.seg_token)?;
        let top = |image_tokens, output| {
            let (losses, statistics) = self.compute_losses(model, &prepared, image_tokens, output);
            let (values, gradients) = self.backward(losses, counts)?;
            Ok(((values, statistics), gradients))
        };
        if self.gradient_checkpointing {
            let seeds = |layer| layer_seed(seed, layer);
            return gradient_checkpointing::accumulate(model, &prepared, seeds, accumulator, top);
        }
        let output = through_layers(model, &prepared, seed);
        let (result, gradients) = top(prepared.image_tokens.clone(), output)?;
        if let Some(gradients) = gradients {
            accumulator.accumulate(model, GradientsParams::from_grads(gradients, model));
        }
        Ok(result)
    }

    /// What a batch contributes to the losses of a step, given the counts of both, and all gradients
    /// of it; `None` where no token and no mask has a loss.
    fn backward(
        &self,
        losses: Losses,
        (batch, step): (LossCounts, LossCounts),
    ) -> Result<(LossValues, Option<Gradients>), StepError> {
        let losses = losses.share(batch, step);
        let values = losses.values(self.loss);
        let terms = [
            ("cross-entropy", values.ce),
            (self.loss.mask.pixel_term(), values.pixel),
            ("dice", values.dice),
            ("total", values.total),
        ];
        if let Some((term, value)) = terms.into_iter().find(|(_, value)| !value.is_finite()) {
            return Err(StepError::NonFiniteLoss { term, value });
        }
        let total = losses.total(self.loss);
        // A batch without any loss has no graph.
        let has_graph = total.is_autodiff() && total.is_tracked();
        // Now only the graph holds tensors, so the backward pass frees them one by one.
        drop(losses);
        Ok((values, has_graph.then(|| total.backward())))
    }
}

/// Eq. 2 and the layers of Eq. 3.
fn through_layers(model: &Mllmseg, batch: &PreparedBatch<'_>, seed: u64) -> SharedPrefixBatch {
    let (mut x, context) = batch.embed(model);
    for (index, layer) in model.language_model.layers.iter().enumerate() {
        x = x.forward(layer, &context, layer_seed(seed, index));
    }
    x
}

/// The seed of the adapters' dropout in one layer.
fn layer_seed(seed: u64, layer: usize) -> u64 {
    mix(seed ^ mix(layer as u64))
}
