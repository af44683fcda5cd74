//! Why a training step fails.

use thiserror::Error;

/// Why a step cannot be taken.
#[derive(Debug, Clone, Error, PartialEq)]
#[expect(missing_docs, reason = "each message says what its fields hold")]
pub enum StepError {
    /// No examples, or images and examples that do not go together.
    #[error(
        "a batch needs one or more examples for each image, in the order of the images; found \
         {images} images and {examples} examples"
    )]
    BatchSize { images: usize, examples: usize },
    /// An example that contradicts itself or the model.
    #[error("example {example} of the batch: {message}; build it from a tokenized conversation")]
    Example { example: usize, message: String },
    /// A loss that is NaN or infinite.
    #[error(
        "the {term} loss is {value}; the step is not taken. Lower the learning rate, or go back to \
         the last snapshot"
    )]
    NonFiniteLoss { term: &'static str, value: f64 },
    /// A gradient that is NaN or infinite.
    #[error(
        "the gradients of {count} weights are not finite, the first that of {path}; the step is \
         not taken. Lower the learning rate, or go back to the last snapshot"
    )]
    NonFiniteGradient { count: usize, path: String },
}
