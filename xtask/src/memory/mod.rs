//! How much memory a training step takes, and where: computed from shapes, and measured.
//!
//! | file | what |
//! | --- | --- |
//! | [`shapes`] | what the graph of each part holds |
//! | [`account`] | weights, state, what is held and workspace, and when a step takes most |
//! | [`measure`] | a real step in a process of its own |
//! | [`counting`] | an allocator that tells what is in use |
//! | [`command`] | `cargo xtask memory` |

pub mod account;
pub mod command;
pub mod counting;
pub mod measure;
pub mod shapes;

pub use account::{Account, Workload};
