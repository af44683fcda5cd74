//! The training loop: batches, gradients, clipping, update, snapshots, validations, stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvError;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use mllmseg_data::metrics::{GeneralizedMetrics, GeneralizedReport, Protocol};
use mllmseg_data::tokenizer::SpecialTokens;
use mllmseg_model::Mllmseg;
use thiserror::Error;

use crate::ahead::prepare_ahead;
use crate::batch::{HostBatch, LossCounts};
use crate::display::Display;
use crate::draw::step_seed;
use crate::metrics::{RecordError, Recorder, StepNumbers};
use crate::mix::{DataMix, MixError};
use crate::recipe::Recipe;
use crate::replicas::{ReplicaError, Replicas};
use crate::snapshot::{Progress, SnapshotError, Snapshots, TrainState};
use crate::step::{StepGradients, TrainStep};
use crate::validation::ValidationSet;

/// Everything that a training needs.
pub struct Trainer {
    /// Its numbers.
    pub recipe: Recipe,
    /// Model, optimizer and progress.
    pub state: TrainState,
    /// The devices that share each step, if the model's own does not compute it alone.
    pub replicas: Option<Replicas>,
    /// Ids of the special tokens.
    pub special: SpecialTokens,
    /// Where snapshots are written.
    pub snapshots: Snapshots,
    /// The training data.
    pub mix: Arc<DataMix>,
    /// The validation data.
    pub validation: Option<Arc<ValidationSet>>,
}

/// Why a training stopped.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each message says what is wrong and what its fields hold")]
pub enum TrainError {
    #[error("step {step}: {source}")]
    Step { step: usize, source: ReplicaError },
    #[error(transparent)]
    Data(#[from] MixError),
    #[error("the thread that prepares examples stopped; resume the run from its last snapshot")]
    Preparation(#[from] RecvError),
    #[error("after step {step}: {source}")]
    Snapshot { step: usize, source: SnapshotError },
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("validation after step {step}: {message}")]
    Validation { step: usize, message: String },
}

impl Trainer {
    /// Trains until the recipe's last step, or until `stop` is set or the display asks for it: then it
    /// writes a snapshot after the current step and ends. Returns the model, no longer prepared for training.
    ///
    /// # Errors
    /// [`TrainError`]; the snapshots written before can be resumed.
    pub fn run(
        mut self,
        display: &mut dyn Display,
        recorder: &mut dyn Recorder,
        stop: &AtomicBool,
    ) -> Result<(Mllmseg, Progress), TrainError> {
        let (first, steps) = (self.state.progress.step, self.recipe.steps);
        let schedule = self.recipe.schedule();
        let is_asked_to_stop =
            |display: &dyn Display| stop.load(Ordering::SeqCst) || display.asks_to_stop();
        display.start(self.recipe.loss.mask, steps);
        let mix = self.mix.clone();
        let prepared = prepare_ahead(first..steps, move |step| mix.step(step));
        let mut saved = first;
        for step in first..steps {
            let start = Instant::now();
            let batches = match prepared.recv()? {
                Ok(batches) => batches,
                Err(error) => {
                    if saved < step {
                        self.write_snapshot()?;
                    }
                    return Err(error.into());
                }
            };
            let images: usize = batches.iter().map(|batch| batch.pixels.shape()[0]).sum();
            let counts = LossCounts::of(batches.iter().flat_map(|batch| &batch.examples));
            let StepGradients { params, norms, losses, batch_statistics } = self
                .gradients(batches, step_seed(self.recipe.seed, step))
                .map_err(|source| TrainError::Step { step, source })?;
            let clip_factor = norms.clip_factor(self.recipe.optimizer.max_gradient_norm);
            let learning_rate = schedule.learning_rate(step);
            let mut model =
                self.state.optimizer.step(learning_rate, self.state.model, params, clip_factor);
            let norm = &mut model.mask_decoder.head.norm;
            *norm = norm.clone().updated(&batch_statistics);
            self.state.model = model;
            self.state.progress.step = step + 1;

            let numbers = StepNumbers {
                step,
                losses,
                gradient_norm: norms.total,
                images,
                expressions: counts.expressions,
                images_per_second: images as f64 / start.elapsed().as_secs_f64(),
                memory: memory_stats::memory_stats().map_or(0, |m| m.physical_mem as u64),
                learning_rate,
            };
            recorder.step(&numbers)?;
            display.step(&numbers);

            let mut snapshot_is_due = self.is_due(self.recipe.snapshots.every);
            if let Some(set) = self.validation.clone()
                && self.is_due(self.recipe.validation.every)
                && !is_asked_to_stop(display)
            {
                let report = self.validate(set, display)?;
                recorder.validation(step + 1, &report)?;
                self.state.progress.note(report.ciou.unwrap_or(0.0));
                snapshot_is_due = true;
            }
            let is_last = is_asked_to_stop(display);
            if is_last || snapshot_is_due {
                self.write_snapshot()?;
                saved = step + 1;
            }
            if is_last {
                break;
            }
        }
        display.end();
        Ok((self.state.model.valid(), self.state.progress))
    }

    fn write_snapshot(&self) -> Result<(), TrainError> {
        let step = self.state.progress.step;
        self.snapshots.save(&self.state).map_err(|source| TrainError::Snapshot { step, source })
    }

    /// Whether a multiple of `every` steps, or the last step, is done.
    fn is_due(&self, every: usize) -> bool {
        let done = self.state.progress.step;
        done.is_multiple_of(every) || done == self.recipe.steps
    }

    /// Losses and gradients of one step. Dropout depends on `seed` alone.
    fn gradients(
        &mut self,
        batches: Vec<HostBatch>,
        seed: u64,
    ) -> Result<StepGradients, ReplicaError> {
        let Self { recipe, state: TrainState { model, .. }, special, .. } = self;
        let Recipe { loss, gradient_checkpointing, .. } = *recipe;
        let step = TrainStep { seg_token: special.seg, loss, gradient_checkpointing };
        if let Some(replicas) = &mut self.replicas {
            replicas.update(model)?; // to the weights after the last step
            return replicas.gradients(&step, model, batches, seed);
        }
        let device = device_of(model);
        let batches: Vec<_> = batches.iter().map(|batch| batch.to_device(&device)).collect();
        Ok(step.gradients(model, &batches, seed)?)
    }

    /// Scores the model on the validation set, by the standard protocol.
    fn validate(
        &self,
        set: Arc<ValidationSet>,
        display: &mut dyn Display,
    ) -> Result<GeneralizedReport, TrainError> {
        let (model, passes) = (self.state.model.valid(), set.len());
        let device = device_of(&model);
        let mut metrics = GeneralizedMetrics::new(Protocol::Standard);
        let failed = |message| TrainError::Validation { step: self.state.progress.step, message };
        display.start_validation(passes);
        let prepared = prepare_ahead(0..passes, move |pass| set.item(pass));
        for pass in 0..passes {
            let item = prepared.recv()??;
            let scores = item.score(&model, &self.special, &device).map_err(failed)?;
            metrics.merge(&scores).map_err(|error| failed(error.to_string()))?;
            display.validation_pass(pass, &metrics.report());
        }
        display.end_validation();
        Ok(metrics.report())
    }
}

fn device_of(model: &Mllmseg) -> Device {
    model.mask_decoder.device().without_autodiff()
}
