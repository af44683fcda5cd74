//! Files, pixels and text: everything MLLMSeg reads and writes that is not a tensor.
//!
//! This crate knows no network and no device; `mllmseg-model` knows no file but weights. The facade joins them.
#![warn(missing_docs)]

pub mod files;
pub mod image;
pub mod leniency;
pub mod mask;
pub mod metrics;
pub mod prompt;
pub mod refer;
pub mod tokenizer;
