//! Few rows of `x` with a weight `[out, in]`: sums along its rows, where they are. To pack it would take
//! longer than the products.
#![expect(
    unsafe_code,
    reason = "bounds are checked once for a whole product, not for every vector"
)]

use pulp::Simd;

use crate::linear::Task;
use crate::matrix::Matrix;
use crate::prefetch::prefetch;
use crate::tile::{ROWS, add_products, load, load_all};

/// Inputs at a time: those of a few outputs stay in the processor's first cache.
const DEPTH: usize = 1024;

impl Task<'_> {
    /// Products with the rows of a weight `[out, in]`, bias and activation.
    #[inline(always)]
    pub(crate) fn run_unpacked<S: Simd, const V: usize>(&self, simd: S, weight: Matrix) {
        let (inputs, width) = (self.x.columns, weight.rows);
        for column in self.columns.clone().step_by(V) {
            let columns = V.min(self.columns.end - column);
            for start in (0..inputs).step_by(DEPTH) {
                let depth = DEPTH.min(inputs - start);
                // Each tile of rows asks for one row of what comes next.
                let next = match start + depth < inputs {
                    true => column * weight.stride + start + depth,
                    false => (column + V) * weight.stride,
                };
                for (index, row) in self.rows.clone().step_by(ROWS).enumerate() {
                    let rows = ROWS.min(self.rows.end - row);
                    let ahead =
                        weight.values.as_ptr().wrapping_add(next + index % V * weight.stride);
                    let a = self.x.values[row * self.x.stride + start..].as_ptr();
                    let b = weight.values[column * weight.stride + start..].as_ptr();
                    // SAFETY: `linear` checked that the matrices are whole. The rows and columns are
                    // those of this task alone, and `out` has room for all.
                    unsafe {
                        let out = (self.out.0.add(row * width + column), width);
                        let (a, b) = ((a, self.x.stride), (b, weight.stride));
                        dot_rows::<S, V>(simd, [rows, columns, depth], a, b, out, start > 0, ahead);
                    }
                }
            }
        }
        for row in self.rows.clone() {
            // SAFETY: as above; all of it is written.
            let row = unsafe {
                let start = self.out.0.add(row * width + self.columns.start);
                std::slice::from_raw_parts_mut(start, self.columns.len())
            };
            self.finish(simd, row);
        }
    }
}

/// Products `a[r] · b[c]` of `R` rows of `a` and `V` rows of `b`, of `k` values each, which are added to
/// `out[r, c]` or written there.
///
/// # Safety
/// `a` is valid for reads of `R` rows of `k` values, `a_stride` apart; `b` likewise of `V` rows; `out`
/// for reads and writes of `R` rows of `V` values, `out_stride` apart, which must hold values when `add`
/// is set. `ahead` need not be valid: it is where the next values of `b` are.
#[inline(always)]
unsafe fn dots<S: Simd, const R: usize, const V: usize>(
    simd: S,
    k: usize,
    (a, a_stride): (*const f32, usize),
    (b, b_stride): (*const f32, usize),
    (out, out_stride): (*mut f32, usize),
    add: bool,
    ahead: *const f32,
) {
    let mut sums = [[simd.splat_f32s(0.0); V]; R];
    let whole = k - k % S::F32_LANES;
    // SAFETY: every index is below the sizes that the caller promises.
    unsafe {
        for i in (0..whole).step_by(S::F32_LANES) {
            prefetch(ahead.wrapping_add(i));
            let columns = load_all::<S, V>(simd, b.add(i), b_stride);
            for (r, sums) in sums.iter_mut().enumerate() {
                add_products(simd, load(simd, a.add(r * a_stride + i)), columns, sums);
            }
        }
        let rest = |place: *const f32| std::slice::from_raw_parts(place.add(whole), k - whole);
        for (r, sums) in sums.into_iter().enumerate() {
            for (v, sum) in sums.into_iter().enumerate() {
                let (a, b) = (rest(a.add(r * a_stride)), rest(b.add(v * b_stride)));
                let sum = simd.reduce_sum_f32s(sum);
                let sum = a.iter().zip(b).fold(sum, |sum, (a, b)| sum + a * b);
                let place = out.add(r * out_stride + v);
                place.write(if add { place.read() + sum } else { sum });
            }
        }
    }
}

/// [`dots`] of up to [`ROWS`] rows of `a` and up to `V` of `b`, `columns` of them.
///
/// # Safety
/// As [`dots`], for so many rows.
#[inline(always)]
unsafe fn dot_rows<S: Simd, const V: usize>(
    simd: S,
    [rows, columns, k]: [usize; 3],
    a: (*const f32, usize),
    (b, b_stride): (*const f32, usize),
    (out, out_stride): (*mut f32, usize),
    add: bool,
    ahead: *const f32,
) {
    // SAFETY: the caller promises as much for `rows` and `columns`.
    unsafe {
        if columns == V {
            let (b, out) = ((b, b_stride), (out, out_stride));
            return match rows {
                1 => dots::<S, 1, V>(simd, k, a, b, out, add, ahead),
                2 => dots::<S, 2, V>(simd, k, a, b, out, add, ahead),
                3 => dots::<S, 3, V>(simd, k, a, b, out, add, ahead),
                4 => dots::<S, 4, V>(simd, k, a, b, out, add, ahead),
                5 => dots::<S, 5, V>(simd, k, a, b, out, add, ahead),
                _ => dots::<S, ROWS, V>(simd, k, a, b, out, add, ahead),
            };
        }
        for (r, c) in (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))) {
            let (a, b) = ((a.0.add(r * a.1), a.1), (b.add(c * b_stride), b_stride));
            let out = (out.add(r * out_stride + c), out_stride);
            dots::<S, 1, 1>(simd, k, a, b, out, add, ahead);
        }
    }
}
