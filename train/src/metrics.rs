//! The numbers of a training, and what records them.

use mllmseg_data::metrics::GeneralizedReport;

use crate::loss::LossValues;

/// A step's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StepNumbers {
    /// Its number, from 0.
    pub step: usize,
    /// The losses.
    pub losses: LossValues,
    /// Norm of all gradients together, before clipping.
    pub gradient_norm: f64,
    /// Images in its batches.
    pub images: usize,
    /// Expressions in its batches.
    pub expressions: usize,
    /// Images in a second, from the batches to the update.
    pub images_per_second: f64,
    /// Memory of this process, in bytes; 0 where the system does not report it.
    pub memory: u64,
    /// The learning rate.
    pub learning_rate: f64,
}

/// Records the numbers of a training, each before the snapshot that follows it.
pub trait Recorder {
    /// Records a step.
    ///
    /// # Errors
    /// If it cannot be written; the training then stops.
    fn step(&mut self, numbers: &StepNumbers) -> Result<(), RecordError>;

    /// Records a validation after so many steps.
    ///
    /// # Errors
    /// If it cannot be written; the training then stops.
    fn validation(&mut self, step: usize, report: &GeneralizedReport) -> Result<(), RecordError>;
}

/// Why numbers cannot be recorded.
pub type RecordError = Box<dyn std::error::Error + Send + Sync>;
