//! The chores behind `cargo xtask`: reference weights, parity with the published implementation,
//! benchmarks.

pub mod bench;
pub mod memory;
pub mod parity;
pub mod weights;
