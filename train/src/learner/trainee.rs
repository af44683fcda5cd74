//! The model as burn-train's learner sees it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::module::Module;
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::lr_scheduler::{LrScheduler, LrSchedulerRecord};
use burn::optim::{GradientsParams, LearningRate, ModuleOptimizer};
use burn::train::{InferenceStep, ItemLazy, TrainOutput, TrainStep as LearnerStep};
use burn_std::ExecutionError;
use mllmseg_data::metrics::GeneralizedMetrics;
use mllmseg_data::tokenizer::SpecialTokens;
use mllmseg_model::Mllmseg;

use crate::batch::HostBatch;
use crate::draw::step_seed;
use crate::loss::LossValues;
use crate::optimizer::AdamW;
use crate::replicas::{ReplicaError, Replicas};
use crate::schedule::WarmupCosine;
use crate::step::{StepGradients, TrainStep};
use crate::validation::ValidationItem;

/// The model, and what turns its batches into updates.
#[derive(Module, Debug)]
pub struct Trainee {
    /// The model, prepared for training.
    pub mllmseg: Mllmseg,
    #[module(skip)]
    tools: Tools,
}

/// Shared by all clones of a [`Trainee`]: burn-train clones models freely.
#[derive(Debug, Clone)]
struct Tools(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    step: TrainStep,
    special: SpecialTokens,
    seed: u64,
    max_gradient_norm: f64,
    optimizer: Mutex<AdamW>,
    /// The devices that share the work, when it is not the model's own alone.
    replicas: Option<Mutex<Replicas>>,
    /// What went wrong when new weights were sent to them.
    lost: Mutex<Option<ReplicaError>>,
    /// What the last step's gradients are multiplied with.
    gradient_scale: Mutex<f64>,
}

/// What a trainee is made of.
#[derive(Debug)]
pub struct TraineeParts {
    /// The model, prepared for training.
    pub model: Mllmseg,
    /// How a batch becomes a loss.
    pub step: TrainStep,
    /// Ids of the tokens with a meaning of their own.
    pub special: SpecialTokens,
    /// Seed of the run.
    pub seed: u64,
    /// Norm of all gradients together, at most.
    pub max_gradient_norm: f64,
    /// The optimizer with its memory.
    pub optimizer: AdamW,
    /// The devices that share the work, when it is not the model's own alone.
    pub replicas: Option<Replicas>,
}

/// Everything that one step learns from.
#[derive(Debug, Clone)]
pub struct StepInput {
    /// Its number, from 0.
    pub step: usize,
    /// Its batches, on no device yet.
    pub batches: Vec<HostBatch>,
}

/// How a step went.
#[derive(Debug, Clone)]
pub struct StepOutcome {
    /// The step and its numbers.
    pub numbers: StepNumbers,
    /// Why it was not taken.
    pub failure: Option<ReplicaError>,
}

/// A step's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StepNumbers {
    /// Its number, from 0.
    pub step: usize,
    /// The losses.
    pub losses: LossValues,
    /// Norm of all gradients together, before clipping.
    pub gradient_norm: f64,
    /// Images learnt from.
    pub images: usize,
    /// Expressions learnt from.
    pub expressions: usize,
    /// Images in a second, as the strategy measures it.
    pub images_per_second: f64,
    /// Memory of this process, in bytes; 0 where the system does not tell.
    pub memory: u64,
    /// The learning rate.
    pub learning_rate: f64,
}

/// How a validation pass went.
#[derive(Debug, Clone)]
pub struct PassOutcome {
    /// The sums.
    pub sums: GeneralizedMetrics,
    /// Why there are none.
    pub failure: Option<String>,
}

impl Trainee {
    /// Puts the parts together.
    pub fn new(parts: TraineeParts) -> Self {
        let TraineeParts { model, step, special, seed, max_gradient_norm, .. } = parts;
        let inner = Inner {
            step,
            special,
            seed,
            max_gradient_norm,
            optimizer: Mutex::new(parts.optimizer),
            replicas: parts.replicas.map(Mutex::new),
            lost: Mutex::new(None),
            gradient_scale: Mutex::new(1.0),
        };
        Self { mllmseg: model, tools: Tools(Arc::new(inner)) }
    }

    /// The optimizer, for a snapshot.
    pub fn optimizer(&self) -> MutexGuard<'_, AdamW> {
        lock(&self.tools.0.optimizer)
    }

    fn gradients(&self, input: &StepInput) -> Result<StepGradients, ReplicaError> {
        let inner = &self.tools.0;
        if let Some(error) = lock(&inner.lost).take() {
            return Err(error);
        }
        // What dropout draws depends on the number of the step alone.
        let seed = step_seed(inner.seed, input.step);
        if let Some(replicas) = &inner.replicas {
            let batches = input.batches.clone();
            return lock(replicas).gradients(&inner.step, &self.mllmseg, batches, seed);
        }
        let device = self.mllmseg.mask_decoder.device().without_autodiff();
        let batches: Vec<_> = input.batches.iter().map(|batch| batch.to_device(&device)).collect();
        Ok(inner.step.gradients(&self.mllmseg, &batches, seed)?)
    }
}

impl LearnerStep for Trainee {
    type Input = StepInput;
    type Output = StepOutcome;

    fn step(&self, input: StepInput) -> TrainOutput<StepOutcome> {
        let examples = || input.batches.iter().flat_map(|batch| &batch.examples);
        let mut numbers = StepNumbers {
            step: input.step,
            images: input.batches.iter().map(|batch| batch.pixels.shape()[0]).sum(),
            expressions: examples().map(|example| example.masks.len()).sum(),
            ..StepNumbers::default()
        };
        match self.gradients(&input) {
            Ok(StepGradients { params, norms, losses, .. }) => {
                *lock(&self.tools.0.gradient_scale) =
                    norms.clip_factor(self.tools.0.max_gradient_norm);
                numbers.losses = losses;
                numbers.gradient_norm = norms.total;
                TrainOutput { grads: params, item: StepOutcome { numbers, failure: None } }
            }
            Err(error) => TrainOutput {
                grads: GradientsParams::new(),
                item: StepOutcome { numbers, failure: Some(error) },
            },
        }
    }

    /// By our own optimizer: its state goes by checkpoint names, and all gradients are scaled alike.
    fn optimize(
        mut self,
        _optimizer: &mut ModuleOptimizer,
        rate: ModuleLearningRate,
        gradients: GradientsParams,
    ) -> Self {
        let scale = *lock(&self.tools.0.gradient_scale);
        let model = self.mllmseg;
        self.mllmseg = lock(&self.tools.0.optimizer).step(rate.base(), model, gradients, scale);
        if let Some(replicas) = &self.tools.0.replicas
            && let Err(error) = lock(replicas).update(&self.mllmseg)
        {
            // The step is taken; the next one cannot be.
            *lock(&self.tools.0.lost) = Some(error);
        }
        self
    }
}

impl InferenceStep for Trainee {
    type Input = ValidationItem;
    type Output = PassOutcome;

    fn step(&self, item: ValidationItem) -> PassOutcome {
        let device = self.mllmseg.mask_decoder.device().without_autodiff();
        let scored = item
            .predict(&self.mllmseg, &self.tools.0.special, &device)
            .and_then(|predictions| item.score(&predictions));
        match scored {
            Ok(sums) => PassOutcome { sums, failure: None },
            Err(failure) => PassOutcome {
                sums: GeneralizedMetrics::new(Default::default()),
                failure: Some(failure),
            },
        }
    }
}

impl ItemLazy for StepOutcome {
    fn sync(self) -> Result<Self, ExecutionError> {
        Ok(self) // numbers, read back already
    }
}

impl ItemLazy for PassOutcome {
    fn sync(self) -> Result<Self, ExecutionError> {
        Ok(self)
    }
}

/// The published schedule, from any step on.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// The curve.
    pub curve: WarmupCosine,
    /// The next step.
    pub next: usize,
}

impl LrScheduler for Schedule {
    fn step(&mut self) -> LearningRate {
        self.next += 1;
        self.curve.learning_rate(self.next - 1)
    }

    /// Nothing: the snapshot knows the step.
    fn to_record(&self) -> LrSchedulerRecord {
        LrSchedulerRecord::new()
    }

    fn load_record(&mut self, _record: LrSchedulerRecord) {}
}

/// What a panicking thread left is still a number or an optimizer that no step has half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
