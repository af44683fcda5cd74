//! One step on many devices.
//!
//! Every device has a thread with its own replica of the model. Frozen weights are sent once, at
//! the start. Then only trained weights are sent, after each update, and only their gradients come
//! back. Means are taken over the whole step, so that the sum of the devices' shares is what one
//! device would have computed ([`TrainStep::share_of_gradients`]).
//!
//! | file | what |
//! | --- | --- |
//! | `transfer` | many tensors in few transfers |
//! | `weights` | weights and gradients as lists in the order of the modules |
//! | `worker` | the thread of one device |
//!
//! # What is the same in every run
//! Batches are dealt to the devices in turn and gradients are added in the order of the devices.
//! So the same devices, batches and weights give the same bits without dropout, whichever device is
//! faster (as far as each device's own operations do). Another number of devices adds in another
//! order: equal to rounding, not to the bit. Dropout draws from the random numbers of its device,
//! which are seeded in every step; but threads that share a device, as in `cpu,cpu`, take them in a
//! varying order.
//!
//! # Why gradients are copied and added, not all-reduced
//! Burn can all-reduce on CUDA devices (`burn::tensor::distributed`, by NCCL). But the optimizer
//! runs on one device, so the others do not need the sum. The gradients of adapters and decoder are
//! small compared with a step (half a gigabyte at most, some hundredths of a second each way). NCCL
//! chooses the order of the sum in an all-reduce. And a collective operation waits forever for a
//! device that has failed, but a copy ends with an error that names the device. A copy between CUDA
//! devices uses NCCL where that is installed, else the host's memory.

mod error;
mod transfer;
mod weights;
mod worker;

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use burn::tensor::{DType, Device};
use mllmseg_model::Mllmseg;

use crate::batch::{HostBatch, LossCounts};
use crate::step::{GradientShare, StepGradients, TrainStep};
use crate::trainable::trained_paths;
pub use error::ReplicaError;
pub use transfer::Traffic;
use transfer::TrafficCounter;
pub use worker::NamedDevice;
use worker::{Failure, Job, Report, Share, Worker};

/// How long a device may take for one job unless [`Replicas::with_timeout`] says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// How long ending waits for workers to free their replicas.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Replicas of a model on many devices, each with its thread.
///
/// Ends with [`ReplicaError::Device`] as soon as one device fails or does not answer in time; every
/// later call gives the same error.
#[derive(Debug)]
pub struct Replicas {
    workers: Vec<Worker>,
    reports: Receiver<Report>,
    /// Paths of the trained weights, in the order of the modules.
    paths: Vec<String>,
    timeout: Duration,
    traffic: TrafficCounter,
    failed: Option<ReplicaError>,
}

impl Replicas {
    /// Copies a model, prepared for training, to all devices and waits until it is there.
    ///
    /// Several devices may be the same one; frozen weights on the device of `model` are shared with
    /// it.
    ///
    /// # Errors
    /// [`ReplicaError::NoDevices`] and [`ReplicaError::Device`].
    pub fn start(model: &Mllmseg, devices: &[NamedDevice]) -> Result<Self, ReplicaError> {
        if devices.is_empty() {
            return Err(ReplicaError::NoDevices);
        }
        let traffic = TrafficCounter::default();
        let (sender, reports) = mpsc::channel();
        let main_device = model.language_model.embed_tokens.weight.val().device();
        let main_device = main_device.without_autodiff();
        let start = |(index, device): (usize, &NamedDevice)| {
            let plan = worker::Plan {
                model: model.clone(),
                main_device: main_device.clone(),
                traffic: traffic.clone(),
                cores: share_of_cores(&device.device, devices),
            };
            Worker::start(index, device.clone(), plan, Sender::clone(&sender))
        };
        let workers = devices.iter().enumerate().map(start).collect::<Result<Vec<_>, _>>()?;
        drop(sender); // so that the workers' ends are noticed
        let (paths, timeout) = (trained_paths(model), DEFAULT_TIMEOUT);
        let mut replicas = Self { workers, reports, paths, timeout, traffic, failed: None };
        replicas.wait(vec![true; devices.len()])?;
        Ok(replicas)
    }

    /// The same with another limit on how long a device may take for its part of one step.
    ///
    /// Lost connections end a step by themselves: at once when the other process ends, within half
    /// a minute when its host vanishes. The limit is for devices that hang.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Number of devices.
    pub fn len(&self) -> usize {
        self.workers.len()
    }

    /// Always `false`: there is at least one device.
    pub fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    /// Bytes sent between the main device and the others so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic.read()
    }

    /// Losses and gradients of one step, as [`TrainStep::gradients`] gives them for all batches
    /// together. The gradients are on the device of `model`, the model whose weights were sent last.
    /// Dropout is seeded: with `seed` itself on the first device, with another number on each other.
    ///
    /// # Errors
    /// [`ReplicaError::Step`] when the step itself cannot be taken (the replicas still work),
    /// [`ReplicaError::Model`] and [`ReplicaError::Device`].
    pub fn gradients(
        &mut self,
        step: &TrainStep,
        model: &Mllmseg,
        batches: Vec<HostBatch>,
        seed: u64,
    ) -> Result<StepGradients, ReplicaError> {
        self.check_usable(model)?;
        let counts = LossCounts::of(batches.iter().flat_map(|batch| &batch.examples));
        let mut batches_per_device: Vec<Vec<HostBatch>> = vec![Vec::new(); self.len()];
        for (index, batch) in batches.into_iter().enumerate() {
            batches_per_device[index % self.len()].push(batch);
        }
        let busy: Vec<bool> = batches_per_device.iter().map(|own| !own.is_empty()).collect();
        for (index, batches) in batches_per_device.into_iter().enumerate() {
            if busy[index] {
                let seed = seed_of(seed, index);
                self.send(index, Job::Step { step: *step, batches, counts, seed })?;
            }
        }
        let shares = self.wait(busy)?;
        let finish = || self.sum(model, shares).finish(model).map_err(Failure::Step);
        match worker::attempt(finish) {
            Ok(gradients) => Ok(gradients),
            Err(Failure::Step(error)) => Err(error.into()),
            Err(Failure::Device(message)) => Err(self.fail("the main device".into(), message)),
        }
    }

    /// Sends the trained weights of a model to every device and waits until they are there.
    ///
    /// # Errors
    /// [`ReplicaError::Model`] and [`ReplicaError::Device`].
    pub fn update(&mut self, model: &Mllmseg) -> Result<(), ReplicaError> {
        self.check_usable(model)?;
        let values = weights::values(model, weights::Which::Trained);
        for index in 0..self.len() {
            self.send(index, Job::Update(values.clone()))?;
        }
        self.wait(vec![true; self.len()]).map(drop)
    }

    /// Adds the devices' shares, in their order. The batch statistics are those of the first device,
    /// as PyTorch's DistributedDataParallel saves those of rank 0.
    fn sum(&self, model: &Mllmseg, mut shares: Vec<Share>) -> GradientShare {
        let first = shares.first_mut().map(|share| std::mem::take(&mut share.batch_statistics));
        let losses = shares.iter().map(|share| share.losses).sum();
        let mut sums = vec![None; self.paths.len()];
        for (index, gradient) in shares.into_iter().flat_map(|share| share.gradients) {
            let gradient = gradient.cast(DType::F32);
            sums[index] = Some(match sums[index].take() {
                Some(sum) => sum + gradient,
                None => gradient,
            });
        }
        let (params, batch_statistics) =
            (weights::as_gradients(model, sums), first.unwrap_or_default());
        GradientShare { params, losses, batch_statistics }
    }

    fn check_usable(&self, model: &Mllmseg) -> Result<(), ReplicaError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let found = trained_paths(model);
        if found == self.paths {
            return Ok(());
        }
        let in_one_only = |one: &[String], other: &[String]| {
            one.iter().find(|path| !other.contains(path)).cloned()
        };
        let path = in_one_only(&self.paths, &found).or_else(|| in_one_only(&found, &self.paths));
        let (expected, path) = (self.paths.len(), path.unwrap_or_default());
        Err(ReplicaError::Model { expected, found: found.len(), path })
    }

    fn send(&mut self, index: usize, job: Job) -> Result<(), ReplicaError> {
        if self.workers[index].send(job) {
            return Ok(());
        }
        let name = self.workers[index].name.clone();
        Err(self.fail(name, "its worker has ended".into()))
    }

    /// Waits for the devices that have a job; their shares of a step, in the order of the devices.
    fn wait(&mut self, mut busy: Vec<bool>) -> Result<Vec<Share>, ReplicaError> {
        let deadline = Instant::now() + self.timeout;
        let mut outcomes: Vec<_> = busy.iter().map(|_| Ok(None)).collect();
        while let Some(index) = busy.iter().position(|&busy| busy) {
            let left = deadline.saturating_duration_since(Instant::now());
            let (worker, message) = match self.reports.recv_timeout(left) {
                Ok(Report { worker, outcome: Err(Failure::Device(message)) }) => (worker, message),
                Ok(Report { worker, outcome }) => {
                    outcomes[worker] = outcome;
                    busy[worker] = false;
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {
                    (index, format!("no answer within {} s", self.timeout.as_secs_f64()))
                }
                Err(RecvTimeoutError::Disconnected) => (index, "its worker has ended".into()),
            };
            let name = self.workers[worker].name.clone();
            return Err(self.fail(name, message));
        }
        let shares = outcomes.into_iter().filter_map(Result::transpose);
        shares.collect::<Result<_, _>>().map_err(|failure| match failure {
            Failure::Step(error) => ReplicaError::Step(error),
            Failure::Device(message) => self.fail("a device".into(), message),
        })
    }

    fn fail(&mut self, device: String, message: String) -> ReplicaError {
        let error = ReplicaError::Device { device, message };
        self.failed.get_or_insert(error).clone()
    }
}

/// Replicas on one device, as in `cpu,cpu`, share the cores of the host. If each used all cores, they
/// would wait for each other in every operation.
fn share_of_cores(device: &Device, devices: &[NamedDevice]) -> Option<usize> {
    let alike = devices.iter().filter(|other| other.device == *device).count();
    (alike > 1).then(|| (rayon::current_num_threads() / alike).max(1))
}

/// A seed for each device.
fn seed_of(step: u64, device: usize) -> u64 {
    step.wrapping_add((device as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

impl Drop for Replicas {
    /// Idle workers end at once and free their replicas; one that hangs is left to itself.
    fn drop(&mut self) {
        self.workers.clear();
        let deadline = Instant::now() + SHUTDOWN_TIMEOUT;
        let left = || deadline.saturating_duration_since(Instant::now());
        while self.failed.is_none() && self.reports.recv_timeout(left()).is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_on_one_device_share_the_cores() {
        let device = crate::test_device();
        let named = |count| vec![NamedDevice { name: "cpu".into(), device: device.clone() }; count];
        assert_eq!(share_of_cores(&device, &named(1)), None);
        let half = (rayon::current_num_threads() / 2).max(1);
        assert_eq!(share_of_cores(&device, &named(2)), Some(half));
    }
}
