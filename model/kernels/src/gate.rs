//! The middle of SwiGLU.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::detect::vectorised;
use crate::exp::exp;

/// Elements of one task.
const PART: usize = 1 << 14;

/// `silu(gate) · up` into `gate`, with `silu(x) = x / (1 + exp(-x))`; relative error at most 6e-7.
///
/// # Panics
/// When the lengths differ.
pub fn gated_silu(gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "a gate for each value");
    let parts = gate.par_chunks_mut(PART).zip(up.par_chunks(PART));
    parts.for_each(|(gate, up)| vectorised(GatedSilu { gate, up }));
}

struct GatedSilu<'a> {
    gate: &'a mut [f32],
    up: &'a [f32],
}

impl WithSimd for GatedSilu<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (gates, gate_rest) = S::as_mut_simd_f32s(self.gate);
        let (ups, up_rest) = S::as_simd_f32s(self.up);
        for (gate, up) in gates.iter_mut().zip(ups) {
            *gate = gated(simd, *gate, *up);
        }
        if !gate_rest.is_empty() {
            let up = simd.partial_load_f32s(up_rest);
            let last = gated(simd, simd.partial_load_f32s(gate_rest), up);
            simd.partial_store_f32s(gate_rest, last);
        }
    }
}

#[inline(always)]
fn gated<S: Simd>(simd: S, gate: S::f32s, up: S::f32s) -> S::f32s {
    let decay = exp(simd, simd.neg_f32s(gate));
    let silu = simd.div_f32s(gate, simd.add_f32s(simd.splat_f32s(1.0), decay));
    simd.mul_f32s(silu, up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_f64() {
        let mut gate: Vec<f32> = (0..40_001).map(|i| (i as f32 - 20_000.0) / 250.0).collect();
        let up: Vec<f32> = (0..40_001).map(|i| (i % 17) as f32 - 8.0).collect();
        let inputs = gate.clone();
        gated_silu(&mut gate, &up);
        for ((&x, &up), &found) in inputs.iter().zip(&up).zip(&gate) {
            let x = f64::from(x);
            let exact = x / (1.0 + (-x).exp()) * f64::from(up);
            let error = (f64::from(found) - exact).abs();
            assert!(error <= 6e-7 * exact.abs() + 1e-36, "{x}: {found}, not {exact}");
        }
    }
}
