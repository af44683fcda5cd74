//! The MLLMSeg network as Burn modules, and the checkpoints that fill it.
//!
//! Each module names the equation that it computes, of the paper "Unlocking the Potential of MLLMs in
//! Referring Expression Segmentation via a Light-weight Mask Decoder". Shapes are written at the end
//! of the line that makes them:
//!
//! | letter | dimension |
//! | --- | --- |
//! | `b` | images in the batch |
//! | `n` | expressions |
//! | `t`, `s` | query and key positions of the language model |
//! | `d` | `hidden_size` of the language model |
//! | `c` | `hidden_size` of the vision encoder and width of the mask decoder |
//! | `p`, `g` | image patches (1024 at 448 pixels), and patches per side (32) |
//! | `l` | image tokens of the language model (256) |
//!
//! This crate reads no image and no prompt: it knows tensors and the names of weights.
#![warn(missing_docs)]

pub mod attention;
pub mod axes;
pub mod checkpoint;
pub mod config;
pub mod cpu;
pub mod dropout;
pub mod init;
pub mod interpolation;
pub mod language;
pub mod lora;
pub mod mask_decoder;
mod memory_efficient;
pub mod mllmseg;
mod mlp;
pub mod parameters;
pub mod projector;
pub mod quantize;
pub mod vision;

pub use config::{MllmsegConfig, Preset, Variant};
pub use mllmseg::{Mllmseg, PrefixState};

/// The device of this crate's own tests: the CPU, whichever others are built in.
#[cfg(test)]
pub(crate) fn test_device() -> burn::tensor::Device {
    burn::tensor::Device::flex()
}
