//! The thread of one device.
//!
//! A worker sends one report for each job. A failure of its device, which may be a panic of a driver
//! or a closed connection, is its last report. A device that hangs sends none; the main thread then
//! stops waiting.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use burn::tensor::{Device, ExecutionError, Tensor};
use mllmseg_model::Mllmseg;
use mllmseg_model::checkpoint::named_weights::set_trained;
use mllmseg_model::mask_decoder::batch_norm::BatchStatistics;
use rayon::ThreadPoolBuilder;

use super::error::ReplicaError;
use super::transfer::{TrafficCounter, transfer};
use super::weights::{self, Which};
use crate::batch::{HostBatch, LossCounts};
use crate::loss::LossValues;
use crate::step::{GradientShare, StepError, TrainStep};
use crate::trainable::trained_paths;

/// A device and its name in messages.
#[derive(Debug, Clone)]
pub struct NamedDevice {
    /// As on the command line, such as `cuda:1`.
    pub name: String,
    /// The handle for tensors.
    pub device: Device,
}

/// A task of a worker.
pub(super) enum Job {
    /// Losses and gradients of its batches.
    Step { step: TrainStep, batches: Vec<HostBatch>, counts: LossCounts, seed: u64 },
    /// New values of the trained weights, on the main device.
    Update(Vec<Tensor<1>>),
}

/// One device's part of a step.
pub(super) struct Share {
    /// Contributions to the losses.
    pub losses: LossValues,
    /// On the main device: flat gradients with the positions of their weights.
    pub gradients: Vec<(usize, Tensor<1>)>,
    /// Batch statistics of the mask head, on the main device.
    pub batch_statistics: Vec<BatchStatistics>,
}

/// Why a job failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The step is wrong, not the device.
    Step(StepError),
    /// The device does not work; its worker ends.
    Device(String),
}

/// What a worker sends after each job, and first of all when its replica is on the device.
pub(super) struct Report {
    pub worker: usize,
    /// The share of a step; `None` for an update and at the start.
    pub outcome: Result<Option<Share>, Failure>,
}

/// From what a replica is built.
pub(super) struct Plan {
    /// Shares its weights with the main model.
    pub model: Mllmseg,
    /// The main device.
    pub main_device: Device,
    pub traffic: TrafficCounter,
    /// How many of the host's cores it computes with; `None` for all of them.
    pub cores: Option<usize>,
}

/// The main thread's end of a worker, which works until this is dropped.
#[derive(Debug)]
pub(super) struct Worker {
    pub name: String,
    jobs: Sender<Job>,
}

impl Worker {
    /// Starts a thread; its first report says that the replica is there.
    pub fn start(
        index: usize,
        device: NamedDevice,
        plan: Plan,
        reports: Sender<Report>,
    ) -> Result<Self, ReplicaError> {
        let NamedDevice { name, device } = device;
        let (jobs, inbox) = mpsc::channel();
        let broken = |error: String| ReplicaError::Device { device: name.clone(), message: error };
        let thread = thread::Builder::new().name(format!("replica {name}"));
        let report = move |outcome| reports.send(Report { worker: index, outcome }).is_ok();
        let pool = plan.cores.map(|cores| ThreadPoolBuilder::new().num_threads(cores).build());
        let pool = pool.transpose().map_err(|error| broken(error.to_string()))?;
        let work = move || work(device.without_autodiff(), plan, inbox, report);
        let spawned = thread.spawn(move || match pool {
            Some(pool) => pool.install(work),
            None => work(),
        });
        match spawned {
            Ok(_) => Ok(Self { name, jobs }),
            Err(error) => Err(broken(error.to_string())),
        }
    }

    /// Whether the job could be handed over.
    pub fn send(&self, job: Job) -> bool {
        self.jobs.send(job).is_ok()
    }
}

/// Runs until there are no more jobs, nobody listens, or the device fails.
fn work(
    device: Device,
    plan: Plan,
    jobs: Receiver<Job>,
    report: impl Fn(Result<Option<Share>, Failure>) -> bool,
) {
    let mut replica = match attempt(|| Replica::new(device, plan)) {
        Ok(replica) => replica,
        Err(failure) => {
            report(Err(failure));
            return;
        }
    };
    if !report(Ok(None)) {
        return;
    }
    for job in jobs {
        let outcome = attempt(|| replica.run(job));
        let failed = matches!(outcome, Err(Failure::Device(_)));
        if !report(outcome) || failed {
            return;
        }
    }
}

struct Replica {
    model: Mllmseg,
    device: Device,
    main_device: Device,
    traffic: TrafficCounter,
}

impl Replica {
    fn new(device: Device, plan: Plan) -> Result<Self, Failure> {
        let Plan { model, main_device, traffic, .. } = plan;
        let trained = trained_paths(&model);
        let values = weights::values(&model, Which::All);
        let values = transfer(values, &device, &traffic.sent);
        let model = weights::with_values(model, Which::All, values);
        let model = set_trained(model, |path| trained.iter().any(|other| other == path));
        let model = weights::with_integers_on(model, &device);
        device.sync()?;
        Ok(Self { model, device, main_device, traffic })
    }

    fn run(&mut self, job: Job) -> Result<Option<Share>, Failure> {
        match job {
            Job::Step { step, batches, counts, seed } => {
                self.share(&step, &batches, counts, seed).map(Some)
            }
            Job::Update(values) => {
                let values = transfer(values, &self.device, &self.traffic.sent);
                self.model = weights::with_values(self.model.clone(), Which::Trained, values);
                // A closed connection is only noticed by waiting for the device.
                self.device.sync()?;
                Ok(None)
            }
        }
    }

    fn share(
        &self,
        step: &TrainStep,
        batches: &[HostBatch],
        counts: LossCounts,
        seed: u64,
    ) -> Result<Share, Failure> {
        let batches: Vec<_> = batches.iter().map(|batch| batch.to_device(&self.device)).collect();
        let GradientShare { params, losses, batch_statistics } =
            step.share_of_gradients(&self.model, &batches, counts, seed).map_err(Failure::Step)?;
        let (positions, gradients): (Vec<_>, Vec<_>) =
            weights::gradients(&self.model, params).into_iter().unzip();
        let gradients = transfer(gradients, &self.main_device, &self.traffic.received);
        let gradients = positions.into_iter().zip(gradients).collect();
        let batch_statistics = batch_statistics
            .into_iter()
            .map(|BatchStatistics { mean, variance }| BatchStatistics {
                mean: mean.to_device(&self.main_device),
                variance: variance.to_device(&self.main_device),
            })
            .collect();
        Ok(Share { losses, gradients, batch_statistics })
    }
}

impl From<ExecutionError> for Failure {
    fn from(error: ExecutionError) -> Self {
        Failure::Device(explain(&error.to_string()))
    }
}

/// Runs something on a device; a panic is a failure of the device.
pub(super) fn attempt<T>(run: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let describe = |payload: Box<dyn Any + Send>| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        Failure::Device(explain(text.unwrap_or("no reason given")))
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| Err(describe(payload)))
}

/// An error of Burn in words for the user.
fn explain(error: &str) -> String {
    // The errors of Burn's remote devices when a connection is closed.
    const LOST: [&str; 3] = ["RecvError", "response channel closed", "open a remote session"];
    if LOST.iter().any(|words| error.contains(words)) {
        return "the connection to it is lost, or its server stopped and printed why".into();
    }
    // The cause comes last; a location and a backtrace may follow.
    let cause = error.rsplit("Caused by:").next().unwrap_or(error).trim();
    format!("its computation stopped ({})", cause.lines().next().unwrap_or_default().trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_one_line_about_the_device() {
        let failure = attempt::<()>(|| panic!("out of memory\nstack:\n 1: somewhere")).unwrap_err();
        let Failure::Device(message) = failure else { panic!("{failure:?}") };
        assert_eq!(message, "its computation stopped (out of memory)");
        let cause = explain("Error while reading data\nCaused by:\n  kernel launch failed\n  at x");
        assert_eq!(cause, "its computation stopped (kernel launch failed)");
        assert!(explain("Failed to read tensor: RecvError(())").contains("connection"));
    }
}
