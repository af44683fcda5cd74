//! The exponential of f32 vectors.

use pulp::Simd;

/// Below it the result is 0: `exp(-87.3)` is the smallest normal f32.
const SMALLEST: f32 = -87.3;
/// Above it the result stays as it is here.
const LARGEST: f32 = 88.0;
/// 2^f on [-1/2, 1/2], relative error 2e-9 (least squares, reweighted to equal errors).
#[expect(clippy::approx_constant, reason = "fitted, and so not quite the logarithm of 2")]
const POWER: [f32; 7] =
    [1.0, 0.693_147_2, 0.240_226_46, 0.055_503_286, 0.009_618_489, 0.001_339_993, 0.000_153_457_43];
/// Adding it rounds to an integer, which is then in the low bits.
const ROUND: f32 = 12_582_912.0;

/// `exp(x)`, relative error at most 2e-7; `x` above 88 counts as 88, below -87.3 the
/// result is 0, and NaN stays NaN.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // ln 2 in two parts, so that the difference from a multiple of it is exact.
    const LN2: [f32; 2] = [0.693_359_4, -0.000_212_194_44];
    let clamped = simd.min_f32s(x, simd.splat_f32s(LARGEST));
    let clamped = simd.max_f32s(clamped, simd.splat_f32s(SMALLEST));
    let shifted = simd.mul_add_e_f32s(
        clamped,
        simd.splat_f32s(std::f32::consts::LOG2_E),
        simd.splat_f32s(ROUND),
    );
    let whole = simd.sub_f32s(shifted, simd.splat_f32s(ROUND));
    let rest = simd.mul_add_e_f32s(whole, simd.splat_f32s(-LN2[0]), clamped);
    let rest = simd.mul_add_e_f32s(whole, simd.splat_f32s(-LN2[1]), rest);
    let fraction = simd.mul_f32s(rest, simd.splat_f32s(std::f32::consts::LOG2_E));
    let power = polynomial(simd, fraction, &POWER);
    let exponent =
        simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    let bits = simd.add_u32s(simd.transmute_u32s_f32s(power), exponent);
    let too_small = simd.less_than_f32s(x, simd.splat_f32s(SMALLEST));
    let result = simd.transmute_f32s_u32s(bits);
    let result = simd.select_f32s(too_small, simd.splat_f32s(0.0), result);
    simd.select_f32s(simd.equal_f32s(x, x), result, x)
}

/// `c0 + c1 x + c2 x² + ...`
#[inline(always)]
pub(crate) fn polynomial<S: Simd>(simd: S, x: S::f32s, coefficients: &[f32]) -> S::f32s {
    let mut sum = simd.splat_f32s(0.0);
    for &coefficient in coefficients.iter().rev() {
        sum = simd.mul_add_e_f32s(sum, x, simd.splat_f32s(coefficient));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::vectorised;
    use pulp::WithSimd;

    struct Exp<'a>(&'a mut [f32]);

    impl WithSimd for Exp<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let (vectors, rest) = S::as_mut_simd_f32s(self.0);
            assert!(rest.is_empty());
            vectors.iter_mut().for_each(|x| *x = exp(simd, *x));
        }
    }

    #[test]
    fn equals_f64_to_2e7_relative() {
        let inputs: Vec<f32> = (0..1 << 16).map(|i| -87.2 + 175.2 * i as f32 / 65536.0).collect();
        let mut found = inputs.clone();
        vectorised(Exp(&mut found));
        for (x, found) in inputs.iter().zip(&found) {
            let exact = f64::from(*x).exp();
            assert!((f64::from(*found) / exact - 1.0).abs() < 2e-7, "exp({x}) = {found}");
        }
        let mut edges = [f32::NEG_INFINITY, f32::NAN, 0.0, 100.0].repeat(4);
        vectorised(Exp(&mut edges));
        assert_eq!([edges[0], edges[2]], [0.0, 1.0]);
        assert!(edges[1].is_nan() && edges[3].is_finite() && edges[3] > 1e38, "{edges:?}");
    }
}
