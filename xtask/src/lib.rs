//! The chores behind `cargo xtask`: reference weights, parity with the published implementation,
//! benchmarks, the report of a device, the memory of a step, the tiny model and its ablation, the book, the page with the model inside, and all checks.

pub mod ablation;
pub mod allocator;
pub mod bench;
pub mod book;
mod case;
pub mod ci;
pub mod drawn;
pub mod fuzz;
pub mod gpu_report;
pub mod memory;
pub mod parity;
pub mod tiny_model;
mod tool;
pub mod torture;
pub mod web;
pub mod weights;
