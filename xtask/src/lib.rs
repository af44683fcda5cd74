//! The chores behind `cargo xtask`.

#![warn(missing_docs)]

pub mod weights;
