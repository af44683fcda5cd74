//! Operations of a transformer on f32 slices, vectorised and on all threads of rayon's pool.
//!
//! One source serves AVX-512, AVX2, NEON and plain scalars: `pulp` detects the processor when the
//! program runs. Results do not depend on the number of threads. Each file says how far its results
//! may be from the exact ones; the tests compare with f64.

mod attention;
mod detect;
mod exp;
mod gate;
mod gelu;
mod linear;
mod matrix;
mod prefetch;
mod tile;
mod transpose;
mod unpacked;
mod weight;

pub use attention::{Heads, attention};
pub use gate::gated_silu;
pub use gelu::gelu;
pub use linear::{Activation, linear};
pub use matrix::Matrix;
pub use weight::{Order, Weight};
