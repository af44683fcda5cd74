//! GELU with the error function.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::detect::vectorised;
use crate::exp::{exp, polynomial};

/// Elements of one task.
const PART: usize = 1 << 14;

/// `t = 1 / (1 + T z)` makes the function below a polynomial.
const T: f32 = 0.3;
/// `exp(z²/2) (1 - Φ(z))` in `t`, for z in [0, 14]; errors times `z exp(-z²/2)` are below 5e-10
/// (least squares, reweighted to equal errors).
const TAIL: [f32; 9] = [
    -0.000_108_680_666,
    0.121_362_135,
    0.109_374_77,
    0.140_418_66,
    0.042_518_37,
    0.058_594_972,
    0.118_098_21,
    -0.118_872_03,
    0.028_613_621,
];

/// `x Φ(x)` in place, where Φ is the normal distribution function. The absolute error is at most
/// 2e-7 plus half a unit in the last place. NaN stays NaN.
pub fn gelu(x: &mut [f32]) {
    x.par_chunks_mut(PART).for_each(|part| vectorised(Gelu(part)));
}

struct Gelu<'a>(&'a mut [f32]);

impl WithSimd for Gelu<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        gelu_slice(simd, self.0);
    }
}

#[inline(always)]
pub(crate) fn gelu_slice<S: Simd>(simd: S, x: &mut [f32]) {
    let (vectors, rest) = S::as_mut_simd_f32s(x);
    for x in vectors {
        *x = gelu_vector(simd, *x);
    }
    if !rest.is_empty() {
        let last = gelu_vector(simd, simd.partial_load_f32s(rest));
        simd.partial_store_f32s(rest, last);
    }
}

/// `max(x, 0) - z (1 - Φ(z))` with `z = |x|`: both tails keep their relative accuracy.
#[inline(always)]
fn gelu_vector<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let z = simd.abs_f32s(x);
    let one = simd.splat_f32s(1.0);
    let t = simd.div_f32s(one, simd.mul_add_e_f32s(z, simd.splat_f32s(T), one));
    let half_square = simd.mul_f32s(simd.mul_f32s(z, z), simd.splat_f32s(-0.5));
    let tail = simd.mul_f32s(exp(simd, half_square), polynomial(simd, t, &TAIL));
    // Beyond 14 the tail is 0, and an infinite z must not meet it.
    let z = simd.min_f32s(z, simd.splat_f32s(14.0));
    let kept = simd.max_f32s(x, simd.splat_f32s(0.0));
    simd.sub_f32s(kept, simd.mul_f32s(z, tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Φ in f64, by its series near 0 and its continued fraction beyond.
    fn normal_distribution(x: f64) -> f64 {
        let density = (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        if x.abs() < 3.0 {
            let (mut term, mut sum) = (x, x);
            for i in 1..200 {
                term *= x * x / (2 * i + 1) as f64;
                sum += term;
            }
            return 0.5 + density * sum;
        }
        let fraction = (1..200).rev().fold(x.abs(), |value, i| x.abs() + i as f64 / value);
        if x > 0.0 { 1.0 - density / fraction } else { density / fraction }
    }

    #[test]
    fn equals_f64() {
        let inputs: Vec<f32> = (0..100_001).map(|i| (i as f32 - 50_000.0) / 3000.0).collect();
        let mut found = inputs.clone();
        gelu(&mut found);
        for (&x, &found) in inputs.iter().zip(&found) {
            let exact = f64::from(x) * normal_distribution(f64::from(x));
            let bound = 2e-7 + exact.abs() * f64::from(f32::EPSILON) / 2.0;
            assert!((f64::from(found) - exact).abs() < bound, "gelu({x}) = {found}, not {exact}");
        }
    }

    #[test]
    fn edges_are_kept() {
        let mut edges = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.0, 1e30, -1e30];
        gelu(&mut edges);
        assert!(edges[2].is_nan());
        assert_eq!([edges[0], edges[1], edges[3]], [f32::INFINITY, 0.0, 0.0]);
        assert_eq!([edges[4], edges[5]], [1e30, 0.0]);
    }
}
