//! One function for each kind of input from outside. It must end without a panic, whatever the bytes.
//!
//! `fuzz_targets/` gives each to libFuzzer (`cargo xtask fuzz`). `tests/it/fuzz_regressions.rs` includes
//! these modules too, and replays `regressions/` on stable Rust.

pub mod data;
mod fragments;
#[cfg(feature = "network")]
pub mod network;
#[cfg(feature = "network")]
mod network_fragments;
mod scratch;
#[cfg(feature = "network")]
pub mod server;
