//! Deterministic weights by parameter name, so that none need to be shipped.
//!
//! [`fill`] draws a tensor from numpy's frozen legacy generator, seeded with `crc32(name) ^ seed`:
//! a checkpoint follows from its list of names and shapes alone. The rule is
//! `tests/oracle/weights.py`; the numbers here equal numpy's bit for bit.

mod checkpoint;
mod fill;
mod random_state;

pub use checkpoint::{CheckpointOptions, parse_dtype, write_checkpoint};
pub use fill::fill;
