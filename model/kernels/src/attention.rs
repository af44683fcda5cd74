//! Scaled dot-product attention.
//!
//! A task is one head and some of its queries. Its keys and values are packed once; the scores of a
//! few queries at a time stay in the processor's second cache.
#![expect(
    unsafe_code,
    reason = "tasks write disjoint parts of one output, which the compiler cannot see"
)]

use std::cell::RefCell;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::detect::vectorised;
use crate::exp::exp;
use crate::linear::Place;
use crate::tile::{ROWS, tile_rows};

/// Queries whose scores are in memory at a time: four tiles.
const QUERIES: usize = 4 * ROWS;

/// A view `[b, heads, t, d]` whose rows are without gaps.
#[derive(Debug, Clone, Copy)]
pub struct Heads<'a, T> {
    /// From its first value on.
    pub values: &'a [T],
    /// `[b, heads, t, d]`
    pub shape: [usize; 4],
    /// From one to the next of batch, heads, and rows; 0 repeats.
    pub strides: [usize; 3],
}

impl<'a, T> Heads<'a, T> {
    fn row(&self, batch: usize, head: usize, row: usize) -> &'a [T] {
        let start = [batch, head, row].into_iter().zip(self.strides).map(|(i, stride)| i * stride);
        &self.values[start.sum::<usize>()..][..self.shape[3]]
    }
}

/// `softmax(q kᵀ / √d) v`, `[b, t, heads, d]`: a head's rows are as a merged layer needs them.
/// `masked` is not 0 where a query must not attend. The error is at most
/// `3e-7 (1 + the largest |q·k| / √d)` of the largest value.
///
/// # Shapes
/// - `query`: `[b, heads, t, d]`, `key` and `value`: `[b, heads, s, d]`, `masked`: `[b, heads, t, s]`
///
/// # Panics
/// When shapes do not fit each other, or reach past the values.
pub fn attention(
    query: Heads<f32>,
    key: Heads<f32>,
    value: Heads<f32>,
    masked: Option<Heads<u8>>,
) -> Vec<f32> {
    let [batch, heads, length, width] = query.shape;
    let positions = key.shape[2];
    assert_eq!(key.shape, [batch, heads, positions, width], "a key for each query");
    assert_eq!(value.shape, key.shape, "a value for each key");
    let mask_shape = [batch, heads, length, positions];
    assert!(masked.is_none_or(|mask| mask.shape == mask_shape), "a mask for each score");
    let mut out: Vec<f32> = Vec::with_capacity(query.shape.iter().product());
    let place = Place(out.as_mut_ptr());
    let wanted = (4 * rayon::current_num_threads()).div_ceil((batch * heads).max(1));
    let step = length.div_ceil(wanted).next_multiple_of(QUERIES).max(QUERIES);
    let blocks = length.div_ceil(step);
    (0..batch * heads * blocks).into_par_iter().for_each(|task| {
        let (head, first) = (task / blocks, task % blocks * step);
        let task = Task {
            query,
            key,
            value,
            masked,
            batch: head / heads,
            head: head % heads,
            queries: first..length.min(first + step),
            out: place,
        };
        SCRATCH.with_borrow_mut(|scratch| vectorised(Vectorised { task, scratch }));
    });
    // SAFETY: the tasks cover all queries of all heads, and each writes all of its part.
    unsafe { out.set_len(query.shape.iter().product()) };
    out
}

struct Task<'a> {
    query: Heads<'a, f32>,
    key: Heads<'a, f32>,
    value: Heads<'a, f32>,
    masked: Option<Heads<'a, u8>>,
    batch: usize,
    head: usize,
    queries: std::ops::Range<usize>,
    out: Place,
}

/// Buffers of a thread.
#[derive(Default)]
struct Scratch {
    /// Keys, transposed, by panels.
    keys: Vec<f32>,
    /// Values, rows filled up to whole panels.
    values: Vec<f32>,
    /// Queries without gaps.
    queries: Vec<f32>,
    /// Scores of some queries, then their exponentials.
    scores: Vec<f32>,
    /// Sums of values for some queries.
    sums: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

struct Vectorised<'a> {
    task: Task<'a>,
    scratch: &'a mut Scratch,
}

impl WithSimd for Vectorised<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::REGISTER_COUNT {
            ..32 => self.task.run::<S, 2>(simd, self.scratch),
            _ => self.task.run::<S, 4>(simd, self.scratch),
        }
    }
}

impl Task<'_> {
    #[inline(always)]
    fn run<S: Simd, const V: usize>(&self, simd: S, scratch: &mut Scratch) {
        let panel = V * S::F32_LANES;
        let [_, heads, length, width] = self.query.shape;
        let positions = self.key.shape[2];
        let padded = positions.next_multiple_of(panel);
        let padded_width = width.next_multiple_of(panel);
        self.pack(panel, scratch);
        scratch.queries.resize(QUERIES * width, 0.0);
        scratch.scores.resize(QUERIES * padded, 0.0);
        scratch.sums.resize(QUERIES * padded_width, 0.0);
        let scale = 1.0 / (width as f64).sqrt() as f32;
        for first in self.queries.clone().step_by(QUERIES) {
            let count = QUERIES.min(self.queries.end - first);
            for (i, place) in scratch.queries.chunks_mut(width.max(1)).take(count).enumerate() {
                place.copy_from_slice(self.query.row(self.batch, self.head, first + i));
            }
            let queries = scratch.queries.as_ptr();
            let (scores, sums) = (scratch.scores.as_mut_ptr(), scratch.sums.as_mut_ptr());
            for start in (0..padded).step_by(panel) {
                let keys = scratch.keys[start * width..].as_ptr();
                for i in (0..count).step_by(ROWS) {
                    // SAFETY: every buffer has a place for all rows and whole panels.
                    unsafe {
                        let out = (scores.add(i * padded + start), padded);
                        let rows = ROWS.min(count - i);
                        let queries = (queries.add(i * width), width);
                        tile_rows::<S, V>(simd, rows, width, queries, (keys, panel), out, false);
                    }
                }
            }
            let mut totals = [0.0f32; QUERIES];
            for (i, total) in totals.iter_mut().take(count).enumerate() {
                let row = &mut scratch.scores[i * padded..][..padded];
                row[positions..].fill(f32::NEG_INFINITY);
                if let Some(mask) = &self.masked {
                    let masked = mask.row(self.batch, self.head, first + i);
                    for (score, &masked) in row.iter_mut().zip(masked) {
                        *score = if masked == 0 { *score } else { f32::NEG_INFINITY };
                    }
                }
                *total = exponentials(simd, row, scale);
            }
            for column in (0..padded_width).step_by(panel) {
                for i in (0..count).step_by(ROWS) {
                    // SAFETY: as above.
                    unsafe {
                        let values = (scratch.values.as_ptr().add(column), padded_width);
                        let out = (sums.add(i * padded_width + column), padded_width);
                        let rows = ROWS.min(count - i);
                        let scores = (scores.cast_const().add(i * padded), padded);
                        tile_rows::<S, V>(simd, rows, positions, scores, values, out, false);
                    }
                }
            }
            for (i, total) in totals.iter().take(count).enumerate() {
                let row = (self.batch * length + first + i) * heads + self.head;
                let sums = &scratch.sums[i * padded_width..][..width];
                for (c, sum) in sums.iter().enumerate() {
                    // SAFETY: the rows of these queries belong to this task alone.
                    unsafe { self.out.0.add(row * width + c).write(sum / total) };
                }
            }
        }
    }

    /// Keys and values of the head, without gaps.
    #[inline(always)]
    fn pack(&self, panel: usize, scratch: &mut Scratch) {
        let [_, _, positions, width] = self.key.shape;
        let padded_width = width.next_multiple_of(panel);
        scratch.keys.resize(positions.next_multiple_of(panel) * width, 0.0);
        scratch.values.resize(positions * padded_width, 0.0);
        for position in 0..positions {
            let key = self.key.row(self.batch, self.head, position);
            let start = position / panel * panel * width + position % panel;
            for (place, &x) in scratch.keys[start..].iter_mut().step_by(panel).zip(key) {
                *place = x;
            }
            let place = &mut scratch.values[position * padded_width..][..padded_width];
            place[..width].copy_from_slice(self.value.row(self.batch, self.head, position));
            place[width..].fill(0.0);
        }
    }
}

/// Replaces scores by `exp(scale (score - largest))`, and returns their sum.
#[inline(always)]
fn exponentials<S: Simd>(simd: S, scores: &mut [f32], scale: f32) -> f32 {
    let (scores, _) = S::as_mut_simd_f32s(scores);
    let mut largest = simd.splat_f32s(f32::NEG_INFINITY);
    for score in scores.iter() {
        largest = simd.max_f32s(largest, *score);
    }
    let largest = simd.splat_f32s(simd.reduce_max_f32s(largest));
    let mut total = simd.splat_f32s(0.0);
    for score in scores {
        *score = exp(simd, simd.mul_f32s(simd.sub_f32s(*score, largest), simd.splat_f32s(scale)));
        total = simd.add_f32s(total, *score);
    }
    simd.reduce_sum_f32s(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 400.0 - 2.5).collect()
    }

    /// As [`attention`], one query in f64, and how far from it is allowed; values are up to 2.5.
    fn exact(q: &[f32], keys: &[&[f32]], values: &[&[f32]], masked: &[u8]) -> (Vec<f64>, f64) {
        let dot =
            |k: &[f32]| q.iter().zip(k).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
        let scores: Vec<f64> = keys.iter().map(|k| dot(k) / (q.len() as f64).sqrt()).collect();
        let weights = scores.iter().map(|score| score.exp()).zip(masked);
        let weights: Vec<f64> = weights.map(|(w, &m)| if m == 0 { w } else { 0.0 }).collect();
        let total: f64 = weights.iter().sum();
        let sum =
            |c: usize| weights.iter().zip(values).map(|(w, v)| w * f64::from(v[c])).sum::<f64>();
        let largest = scores.iter().fold(0.0f64, |largest, score| largest.max(score.abs()));
        ((0..q.len()).map(|c| sum(c) / total).collect(), 3e-7 * (1.0 + largest) * 2.5)
    }

    #[test]
    fn equals_f64_with_and_without_a_mask() {
        for (t, s, d) in [(1, 1, 1), (7, 65, 64), (60, 130, 24), (25, 40, 80)] {
            let (batch, heads) = (2, 3);
            // Queries, keys and values lie in one matrix, as a packed projection makes them.
            let stride = 3 * heads * d;
            let packed = values(batch * t.max(s) * stride, 1);
            let view = |part: usize, length| Heads {
                values: &packed[part * heads * d..],
                shape: [batch, heads, length, d],
                strides: [t.max(s) * stride, d, stride],
            };
            let (q, k, v) = (view(0, t), view(1, s), view(2, s));
            let hidden: Vec<u8> = (0..t * s).map(|i| u8::from(i % s > 2 + i / s)).collect();
            let shape = [batch, heads, t, s];
            let hidden = Heads { values: &hidden, shape, strides: [0, 0, s] };
            let none = vec![0; s];
            for mask in [None, Some(hidden)] {
                let found = attention(q, k, v, mask);
                for at in 0..batch * heads * t {
                    let (b, i, h) = (at / heads / t, at / heads % t, at % heads);
                    let rows = |x: Heads<'_, f32>| {
                        (0..s).map(|j| x.row(b, h, j).to_vec()).collect::<Vec<_>>()
                    };
                    let (keys, values) = (rows(k), rows(v));
                    let keys: Vec<_> = keys.iter().map(|row| &**row).collect();
                    let values: Vec<_> = values.iter().map(|row| &**row).collect();
                    let masked = mask.map_or(&*none, |mask| mask.row(b, h, i));
                    let (exact, bound) = exact(q.row(b, h, i), &keys, &values, masked);
                    for (found, exact) in found[at * d..].iter().zip(exact) {
                        let error = (f64::from(*found) - exact).abs();
                        assert!(error < bound, "{t} {s} {d}: {found}, not {exact}");
                    }
                }
            }
        }
    }

    /// A value that is not a number reaches the result.
    #[test]
    fn nan_is_not_hidden() {
        let q = [f32::NAN, 1.0];
        let k = [1.0f32; 8];
        let view = |values, t| Heads { values, shape: [1, 1, t, 2], strides: [0, 0, 2] };
        assert!(attention(view(&q, 1), view(&k, 4), view(&k, 4), None)[0].is_nan());
    }
}
