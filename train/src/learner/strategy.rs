//! The loop: steps, snapshots, validations, and every way to stop.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use burn::data::dataloader::Progress as Items;
use burn::module::Module;
use burn::optim::AdamWConfig as BurnAdamWConfig;
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::train::renderer::MetricsRenderer;
use burn::train::{
    EventProcessorTraining, InferenceStep, Interrupter, Learner, LearnerEvent,
    SupervisedLearningStrategy, SupervisedTraining, SupervisedTrainingEventProcessor, TrainLoader,
    TrainingComponents, TrainingItem, TrainingStrategy, ValidLoader,
};
use mllmseg_data::metrics::{GeneralizedMetrics, GeneralizedReport};
use mllmseg_model::Mllmseg;
use mllmseg_model::checkpoint::names::NameTable;
use thiserror::Error;

use super::curves::{CurveError, Curves};
use super::loader::{Loader, Nothing};
use super::metrics::{NoLog, score_metrics, step_metrics};
use super::trainee::{Schedule, StepOutcome, Trainee};
use crate::mix::DataMix;
use crate::recipe::Recipe;
use crate::replicas::ReplicaError;
use crate::snapshot::{Best, Progress, SnapshotError, Snapshots};
use crate::validation::ValidationSet;

/// Everything that a training needs.
pub struct TrainingRun {
    /// Folder of the run.
    pub dir: PathBuf,
    /// Its numbers.
    pub recipe: Recipe,
    /// The model with its optimizer.
    pub trainee: Trainee,
    /// Names of the weights.
    pub table: NameTable,
    /// How far it is.
    pub progress: Progress,
    /// What it learns from.
    pub mix: DataMix,
    /// What it is measured on.
    pub validation: Option<ValidationSet>,
}

/// How a training ended.
#[derive(Debug)]
pub struct Outcome {
    /// The model as it is now, no longer prepared for training.
    pub model: Mllmseg,
    /// How far it is.
    pub progress: Progress,
    /// Whether it was stopped before its last step.
    pub interrupted: bool,
}

/// Why a training stopped.
#[derive(Debug, Error)]
pub enum TrainError {
    /// A step that cannot be taken.
    #[error("step {step}: {source}")]
    Step {
        /// Its number.
        step: usize,
        /// Why.
        source: ReplicaError,
    },
    /// A snapshot that cannot be written.
    #[error("after step {step}: {source}")]
    Snapshot {
        /// Steps done.
        step: usize,
        /// Why.
        source: SnapshotError,
    },
    /// The files of the curves cannot be written.
    #[error(transparent)]
    Curves(#[from] CurveError),
    /// A validation that cannot be made.
    #[error("validation after step {step}: {message}")]
    Validation {
        /// Steps done.
        step: usize,
        /// Why.
        message: String,
    },
    /// What burn-train says: an image or a data set that cannot be read, above all.
    #[error("{0}")]
    Learner(String),
}

/// Trains until the recipe's last step, or until the interrupter says stop between two steps, and
/// then leaves a snapshot. The renderer shows how it goes.
///
/// # Errors
/// [`TrainError`]; whatever happens, the snapshots written before can be resumed.
pub fn train(
    run: TrainingRun,
    interrupter: Interrupter,
    renderer: Box<dyn MetricsRenderer>,
) -> Result<Outcome, TrainError> {
    let TrainingRun { dir, recipe, trainee, table, progress, .. } = run;
    let first = progress.step;
    let curves = Curves::open(&dir, first, recipe.loss.mask.pixel_term())?;
    let steps = Arc::new(Loader::new(Arc::new(run.mix), 0, recipe.steps));
    let passes = run.validation.map(Arc::new);
    let has_validation = passes.is_some();
    let passes: ValidLoader<Trainee> = match passes {
        Some(set) => {
            let passes = set.len();
            Arc::new(Loader::new(set, 0, passes))
        }
        None => Arc::new(Nothing),
    };
    let schedule = Schedule { curve: recipe.schedule(), next: first };
    let every = match has_validation {
        true => recipe.validation.every,
        false => recipe.steps,
    };
    let strategy = Arc::new(StepByStep {
        snapshots: Snapshots::new(dir.join("snapshots"), recipe.snapshots.keep),
        snapshot_every: recipe.snapshots.every,
        validates: has_validation,
        every,
        steps: recipe.steps,
        table,
        state: Mutex::new(State { progress, curves: Some(curves), error: None }),
    });
    let mut training = SupervisedTraining::new(&dir, steps, passes)
        .num_epochs(recipe.steps.div_ceil(every))
        .with_interrupter(interrupter)
        .with_application_logger(None)
        // The curves keep every number of every step; burn-train's own store is not read.
        .with_metric_logger(NoLog)
        .renderer(renderer)
        .with_training_strategy(TrainingStrategy::Custom(strategy.clone()));
    if let Some(epochs) = Some(first / every).filter(|&epochs| epochs > 0) {
        training = training.checkpoint(epochs);
    }
    for metric in step_metrics(recipe.loss.mask.pixel_term()) {
        training = training.metric_train_numeric(metric);
    }
    for metric in score_metrics() {
        training = training.metric_valid_numeric(metric);
    }
    // Updates go through `Trainee::optimize`: burn-train's own optimizer remembers nothing.
    let optimizer = BurnAdamWConfig::new().init();
    let learner = Learner::new(trainee, optimizer, ModuleLrScheduler::new(schedule));
    let result = training.launch(learner);
    let mut state = strategy.state.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = state.error.take() {
        return Err(error);
    }
    if let Some(error) = result.error {
        return Err(TrainError::Learner(error.to_string()));
    }
    if let Some(curves) = state.curves.take() {
        curves.finish()?;
    }
    let progress = state.progress.clone();
    let interrupted = progress.step < recipe.steps;
    Ok(Outcome { model: result.model.mllmseg, progress, interrupted })
}

/// Our strategy. An epoch of burn-train is the stretch between two validations.
struct StepByStep {
    snapshots: Snapshots,
    snapshot_every: usize,
    validates: bool,
    /// Steps of an epoch.
    every: usize,
    /// Steps of the run.
    steps: usize,
    table: NameTable,
    state: Mutex<State>,
}

struct State {
    progress: Progress,
    curves: Option<Curves>,
    error: Option<TrainError>,
}

type Processor = SupervisedTrainingEventProcessor<Trainee>;

/// Ends a run; the reason is in the interrupter or in the state.
struct Stop;

impl SupervisedLearningStrategy<Trainee> for StepByStep {
    fn fit(
        &self,
        components: TrainingComponents<Trainee>,
        mut learner: Learner<Trainee>,
        steps: TrainLoader<Trainee>,
        passes: ValidLoader<Trainee>,
        starting_epoch: usize,
    ) -> (Trainee, Processor) {
        let TrainingComponents { mut event_processor, interrupter, num_epochs, .. } = components;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for epoch in starting_epoch..=num_epochs {
            let mut stretch = Stretch {
                strategy: self,
                state: &mut state,
                processor: &mut event_processor,
                interrupter: &interrupter,
                epoch,
            };
            let gone = stretch.steps(&mut learner, &steps);
            if gone.and_then(|()| stretch.validation(&learner, &passes)).is_err() {
                break;
            }
        }
        (learner.model(), event_processor)
    }
}

/// One epoch.
struct Stretch<'a> {
    strategy: &'a StepByStep,
    state: &'a mut State,
    processor: &'a mut Processor,
    interrupter: &'a Interrupter,
    epoch: usize,
}

impl Stretch<'_> {
    /// All steps up to the next validation.
    fn steps(
        &mut self,
        learner: &mut Learner<Trainee>,
        steps: &TrainLoader<Trainee>,
    ) -> Result<(), Stop> {
        let start = self.state.progress.step;
        let end = (self.epoch * self.strategy.every).min(self.strategy.steps);
        let part = steps.slice(start, end);
        self.train_event(LearnerEvent::StartSplit {
            epoch_number: self.epoch,
            total_items: end - start,
        });
        let mut clock = Instant::now();
        let mut inputs = part.iter();
        while let Some(input) = inputs.next() {
            let input = input.map_err(|error| {
                self.interrupter.fail(error);
                Stop
            })?;
            let output = learner.train_step(input);
            let mut outcome = output.item;
            if let Some(source) = outcome.failure.take() {
                return Err(self.fail(TrainError::Step { step: outcome.numbers.step, source }));
            }
            learner.lr_step();
            learner.optimizer_step(output.grads);
            outcome.numbers.learning_rate = learner.lr_current().base();
            outcome.numbers.images_per_second =
                outcome.numbers.images as f64 / clock.elapsed().as_secs_f64();
            outcome.numbers.memory =
                memory_stats::memory_stats().map_or(0, |memory| memory.physical_mem as u64);
            clock = Instant::now();
            self.taken(learner, outcome, inputs.progress())?;
        }
        self.train_event(LearnerEvent::EndSplit(self.epoch));
        Ok(())
    }

    /// After a step: numbers, and a snapshot if it is time.
    fn taken(
        &mut self,
        learner: &Learner<Trainee>,
        outcome: StepOutcome,
        items: Items,
    ) -> Result<(), Stop> {
        if let Some(curves) = &mut self.state.curves {
            let written = curves.step(&outcome.numbers);
            written.map_err(|error| self.fail(error.into()))?;
        }
        self.state.progress.step += 1;
        let step = self.state.progress.step;
        let item = TrainingItem::new(outcome, items, Some(step), Some(learner.lr_current()));
        self.train_event(LearnerEvent::ProcessedItem(item));
        let stop = self.interrupter.should_stop();
        let due = step.is_multiple_of(self.strategy.snapshot_every) || step == self.strategy.steps;
        // Before a validation the snapshot waits for its outcome.
        let validation_follows = self.strategy.validates
            && (step.is_multiple_of(self.strategy.every) || step == self.strategy.steps);
        if stop || (due && !validation_follows) {
            self.snapshot(learner)?;
        }
        if stop { Err(Stop) } else { Ok(()) }
    }

    /// Measures, and keeps a snapshot with the outcome.
    fn validation(
        &mut self,
        learner: &Learner<Trainee>,
        passes: &ValidLoader<Trainee>,
    ) -> Result<(), Stop> {
        if self.strategy.validates {
            let report = self.measure(learner, passes)?;
            let step = self.state.progress.step;
            if let Some(curves) = &mut self.state.curves {
                let written = curves.validation(step, &report);
                written.map_err(|error| self.fail(error.into()))?;
            }
            let ciou = report.ciou.unwrap_or(0.0);
            if self.state.progress.best.is_none_or(|best| ciou > best.ciou) {
                self.state.progress.best = Some(Best { step, ciou });
            }
            self.snapshot(learner)?;
        }
        self.train_event(LearnerEvent::EndEpoch(self.epoch));
        if self.interrupter.should_stop() { Err(Stop) } else { Ok(()) }
    }

    fn measure(
        &mut self,
        learner: &Learner<Trainee>,
        passes: &ValidLoader<Trainee>,
    ) -> Result<GeneralizedReport, Stop> {
        let model = learner.model().valid();
        let step = self.state.progress.step;
        let mut sums = GeneralizedMetrics::new(Default::default());
        let total_items = passes.num_items();
        self.valid_event(LearnerEvent::StartSplit { epoch_number: self.epoch, total_items });
        let mut items = passes.iter();
        while let Some(item) = items.next() {
            let item = item.map_err(|error| {
                self.interrupter.fail(error);
                Stop
            })?;
            let outcome = InferenceStep::step(&model, item);
            if let Some(message) = outcome.failure {
                return Err(self.fail(TrainError::Validation { step, message }));
            }
            // Both follow the standard protocol, so nothing can keep them apart.
            let merged = sums.merge(&outcome.sums);
            debug_assert!(merged.is_ok());
            let item = TrainingItem::new(outcome, items.progress(), Some(step), None);
            self.valid_event(LearnerEvent::ProcessedItem(item));
        }
        self.valid_event(LearnerEvent::EndSplit(self.epoch));
        Ok(sums.report())
    }

    fn snapshot(&mut self, learner: &Learner<Trainee>) -> Result<(), Stop> {
        let model = learner.model();
        let StepByStep { snapshots, table, .. } = self.strategy;
        let progress = &self.state.progress;
        let saved = snapshots.save(&model.mllmseg, &model.optimizer(), table, progress);
        let step = progress.step;
        saved.map_err(|source| self.fail(TrainError::Snapshot { step, source }))?;
        Ok(())
    }

    fn fail(&mut self, error: TrainError) -> Stop {
        self.interrupter.stop(Some(&error.to_string()));
        self.state.error.get_or_insert(error);
        Stop
    }

    fn train_event(&mut self, event: LearnerEvent<StepOutcome>) {
        self.interrupter.fail_on_error(self.processor.process_train(event));
    }

    fn valid_event(&mut self, event: LearnerEvent<super::trainee::PassOutcome>) {
        self.interrupter.fail_on_error(self.processor.process_valid(event));
    }
}
