//! The innermost part of every product: a tile of a few rows by a few vectors, kept in registers.
#![expect(
    unsafe_code,
    reason = "bounds are checked once for a whole product, not for every vector"
)]

use pulp::Simd;

/// Rows of a tile.
pub(crate) const ROWS: usize = 6;

/// Reads a vector.
///
/// # Safety
/// `place` is valid for reads of a whole vector.
#[inline(always)]
pub(crate) unsafe fn load<S: Simd>(_: S, place: *const f32) -> S::f32s {
    // SAFETY: the caller promises it.
    unsafe { place.cast::<S::f32s>().read_unaligned() }
}

/// Reads `V` vectors, `stride` apart.
///
/// # Safety
/// As [`load`], for each of them.
#[inline(always)]
pub(crate) unsafe fn load_all<S: Simd, const V: usize>(
    simd: S,
    place: *const f32,
    stride: usize,
) -> [S::f32s; V] {
    let mut vectors = [simd.splat_f32s(0.0); V];
    for (v, vector) in vectors.iter_mut().enumerate() {
        // SAFETY: the caller promises it.
        *vector = unsafe { load(simd, place.add(v * stride)) };
    }
    vectors
}

/// Adds `x` times each column to its sum.
#[inline(always)]
pub(crate) fn add_products<S: Simd, const V: usize>(
    simd: S,
    x: S::f32s,
    columns: [S::f32s; V],
    sums: &mut [S::f32s; V],
) {
    for (sum, column) in sums.iter_mut().zip(columns) {
        *sum = simd.mul_add_e_f32s(x, column, *sum);
    }
}

/// Sums `a[r, i] b[i, c]` over `k` values of `i`, for `R` rows and `V` vectors of columns, and adds
/// them to `out`, or writes them there.
///
/// # Safety
/// `a` is valid for reads of `R` rows of `k` values, `a_stride` apart; `b` for `k` rows of `V`
/// vectors, `b_stride` apart; `out` for reads and writes of `R` rows of `V` vectors, `out_stride`
/// apart, which must hold values when `add` is set.
#[inline(always)]
pub(crate) unsafe fn tile<S: Simd, const R: usize, const V: usize>(
    simd: S,
    k: usize,
    (a, a_stride): (*const f32, usize),
    (b, b_stride): (*const f32, usize),
    (out, out_stride): (*mut f32, usize),
    add: bool,
) {
    let mut sums = [[simd.splat_f32s(0.0); V]; R];
    // SAFETY: every index is below the sizes that the caller promises.
    unsafe {
        for i in 0..k {
            let columns = load_all::<S, V>(simd, b.add(i * b_stride), S::F32_LANES);
            for (r, sums) in sums.iter_mut().enumerate() {
                add_products(simd, simd.splat_f32s(*a.add(r * a_stride + i)), columns, sums);
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (v, sum) in sums.into_iter().enumerate() {
                let place = out.add(r * out_stride + v * S::F32_LANES);
                let sum = if add { simd.add_f32s(load(simd, place), sum) } else { sum };
                place.cast::<S::f32s>().write_unaligned(sum);
            }
        }
    }
}

/// [`tile`] for up to [`ROWS`] rows.
///
/// # Safety
/// As [`tile`], for `rows` rows.
#[inline(always)]
pub(crate) unsafe fn tile_rows<S: Simd, const V: usize>(
    simd: S,
    rows: usize,
    k: usize,
    a: (*const f32, usize),
    b: (*const f32, usize),
    out: (*mut f32, usize),
    add: bool,
) {
    // SAFETY: the caller promises as much for `rows` rows.
    unsafe {
        match rows {
            1 => tile::<S, 1, V>(simd, k, a, b, out, add),
            2 => tile::<S, 2, V>(simd, k, a, b, out, add),
            3 => tile::<S, 3, V>(simd, k, a, b, out, add),
            4 => tile::<S, 4, V>(simd, k, a, b, out, add),
            5 => tile::<S, 5, V>(simd, k, a, b, out, add),
            _ => tile::<S, ROWS, V>(simd, k, a, b, out, add),
        }
    }
}
