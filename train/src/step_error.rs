//! Why a training step fails.

use thiserror::Error;

/// Why a step cannot be taken.
#[derive(Debug, Clone, Error, PartialEq)]
#[expect(missing_docs, reason = "each message says what is wrong and what its fields hold")]
pub enum StepError {
    #[error(
        "a batch needs one or more examples for each image, in the order of the images; found \
         {images} images and {examples} examples"
    )]
    BatchSize { images: usize, examples: usize },
    #[error("example {example} of the batch: {message}; build it from a tokenized conversation")]
    Example { example: usize, message: String },
    #[error(
        "the {term} loss is {value}; the step is not taken. Lower the learning rate, or go back to \
         the last snapshot"
    )]
    NonFiniteLoss { term: &'static str, value: f64 },
    #[error(
        "the gradients of {count} weights are not finite, the first that of {path}; the step is \
         not taken. Lower the learning rate, or go back to the last snapshot"
    )]
    NonFiniteGradient { count: usize, path: String },
}
