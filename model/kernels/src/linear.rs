//! A linear layer with its bias and activation in one pass.
//!
//! Each task takes a block of columns and some rows. It copies its part of the weight, a few hundred
//! inputs at a time, into panels, and multiplies a block of rows with them while they are in the
//! processor's caches. Few rows of `x` are multiplied with the weight where it is, if it is `[out, in]`.
//! The sum over the inputs has a fixed order, so a result does not depend on the number of threads.
#![expect(
    unsafe_code,
    reason = "tasks write disjoint parts of one output, which the compiler cannot see"
)]

use std::cell::RefCell;
use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::detect::vectorised;
use crate::gelu::gelu_slice;
use crate::matrix::{Matrix, Part};
use crate::tile::{ROWS, tile_rows};
use crate::weight::{Order, Weight};

/// Inputs at a time: a panel of so many, 128 KB, stays in the processor's second cache.
const DEPTH: usize = 512;
/// Rows of `x` at a time: their sums stay in the second cache.
const ROW_BLOCK: usize = 192;
/// Columns of a task.
const COLUMNS: usize = 256;
/// The fewest columns of a task: a panel of the widest processor.
const FEWEST_COLUMNS: usize = 64;
/// The fewest rows of a task, when there are more: packing is then a small part of its work.
const FEWEST_ROWS: usize = 192;
/// Values that a thread packs: 4 MB, a part of the last cache.
const PACKED: usize = 1 << 20;
/// Up to so many rows of `x`, a weight by outputs is not packed.
const FEW_ROWS: usize = 40;

/// What follows the sum and the bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// `max(x, 0)`
    Relu,
    /// [`gelu`](crate::gelu)
    Gelu,
}

/// `activation(x W + b)`, by rows, `[x.rows, out]`.
///
/// A sum of `k` products differs from the exact one by at most `k` half units in the last place of
/// the sum of their absolute values, as any f32 sum; the tests bound it much closer.
///
/// # Panics
/// When sizes do not fit each other.
pub fn linear(x: Matrix, weight: Weight, bias: Option<&[f32]>, activation: Activation) -> Vec<f32> {
    let (rows, [inputs, columns]) = (x.rows, weight.sizes());
    assert_eq!(x.columns, inputs, "a row of the weight for each input");
    assert!(bias.is_none_or(|bias| bias.len() == columns), "a bias for each output");
    assert!(x.is_whole() && weight.is_whole(), "a matrix is shorter than its sizes");
    let mut out: Vec<f32> = Vec::with_capacity(rows * columns);
    if x.columns == 0 {
        out.resize(rows * columns, 0.0); // sums of nothing, which no task writes
    }
    let place = Place(out.as_mut_ptr());
    let (column_step, row_step) = steps(rows, inputs, columns);
    let blocks = rows.div_ceil(row_step);
    (0..blocks * columns.div_ceil(column_step)).into_par_iter().for_each(|task| {
        let (row, column) = (task % blocks * row_step, task / blocks * column_step);
        let task = Task {
            x,
            weight,
            bias,
            activation,
            rows: row..rows.min(row + row_step),
            columns: column..columns.min(column + column_step),
            out: place,
        };
        BUFFERS.with_borrow_mut(|buffers| vectorised(Vectorised { task, buffers }));
    });
    // SAFETY: the tasks cover all rows and columns, and each writes all of its part.
    unsafe { out.set_len(rows * columns) };
    out
}

/// Columns and rows of a task: about eight tasks for each thread, if the sizes allow, since their number
/// is seldom a multiple of that of the threads.
fn steps(rows: usize, inputs: usize, columns: usize) -> (usize, usize) {
    let wanted = 8 * rayon::current_num_threads();
    let most_columns = COLUMNS.min(PACKED / inputs.max(1));
    let column_step = most_columns.min(columns / wanted) / FEWEST_COLUMNS * FEWEST_COLUMNS;
    let column_step = column_step.max(FEWEST_COLUMNS);
    let blocks = wanted.div_ceil(columns.div_ceil(column_step)).min(rows / FEWEST_ROWS).max(1);
    (column_step, rows.div_ceil(blocks).next_multiple_of(ROWS).max(ROWS))
}

/// Where the output is. Tasks share it, and write disjoint parts.
#[derive(Clone, Copy)]
pub(crate) struct Place(pub(crate) *mut f32);

// SAFETY: no two tasks touch the same values, and the output outlives them.
unsafe impl Send for Place {}
// SAFETY: as above.
unsafe impl Sync for Place {}

/// A part of the output.
pub(crate) struct Task<'a> {
    pub x: Matrix<'a>,
    weight: Weight<'a>,
    bias: Option<&'a [f32]>,
    activation: Activation,
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    pub out: Place,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = const { RefCell::new(Buffers::EMPTY) };
}

/// What a thread keeps from one task to the next, so that no memory is asked for.
struct Buffers {
    /// A part of a weight, `[in / DEPTH, panels, DEPTH, panel]`.
    packed: Vec<f32>,
    /// The sums of a block of rows, `[ROW_BLOCK, columns]`.
    sums: Vec<f32>,
}

impl Buffers {
    const EMPTY: Self = Self { packed: Vec::new(), sums: Vec::new() };
}

/// The first `count` values of a buffer, whatever they are.
fn first(buffer: &mut Vec<f32>, count: usize) -> &mut [f32] {
    if buffer.len() < count {
        buffer.resize(count, 0.0);
    }
    &mut buffer[..count]
}

struct Vectorised<'a> {
    task: Task<'a>,
    buffers: &'a mut Buffers,
}

impl WithSimd for Vectorised<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Each sum of a tile has its register: 24 of 32, or 12 of 16.
        match S::REGISTER_COUNT {
            ..32 => self.task.run::<S, 2>(simd, self.buffers),
            _ => self.task.run::<S, 4>(simd, self.buffers),
        }
    }
}

impl Task<'_> {
    #[inline(always)]
    fn run<S: Simd, const V: usize>(&self, simd: S, buffers: &mut Buffers) {
        if let Weight::F32(Order::ByOutput(weight)) = self.weight
            && self.x.rows <= FEW_ROWS
        {
            return self.run_unpacked::<S, V>(simd, weight);
        }
        let panel = V * S::F32_LANES;
        let (inputs, width) = (self.x.columns, self.columns.len().next_multiple_of(panel));
        let packed = first(&mut buffers.packed, inputs * width);
        let sums = first(&mut buffers.sums, ROW_BLOCK * width);
        if inputs == 0 {
            sums.fill(0.0);
        }
        for start_row in self.rows.clone().step_by(ROW_BLOCK) {
            let rows = start_row..self.rows.end.min(start_row + ROW_BLOCK);
            for start in (0..inputs).step_by(DEPTH) {
                let depth = DEPTH.min(inputs - start);
                let packed = &mut packed[start * width..][..depth * width];
                if start_row == self.rows.start {
                    self.pack(simd, [start, depth], panel, packed);
                }
                for (index, packed) in packed.chunks_exact(depth * panel).enumerate() {
                    let sums = &mut sums[index * panel..];
                    let (x, rows) = (self.x, rows.clone());
                    simd.vectorize(Products::<V> {
                        x,
                        rows,
                        inputs: [start, depth],
                        packed,
                        sums,
                        width,
                    });
                }
            }
            for (row, sums) in rows.zip(sums.chunks_exact_mut(width)) {
                let sums = &mut sums[..self.columns.len()];
                self.finish(simd, sums);
                let start = row * self.weight.sizes()[1] + self.columns.start;
                // SAFETY: the output has room for all rows, and these columns are those of this task alone.
                unsafe {
                    self.out.0.add(start).copy_from_nonoverlapping(sums.as_ptr(), sums.len());
                }
            }
        }
    }

    /// Copies inputs `start..start + depth` of its columns, panel by panel. What the last one has beyond
    /// them is multiplied too, and not used.
    #[inline(always)]
    fn pack<S: Simd>(&self, simd: S, [start, depth]: [usize; 2], panel: usize, packed: &mut [f32]) {
        let places = packed.chunks_exact_mut(depth * panel);
        for (column, place) in self.columns.clone().step_by(panel).zip(places) {
            let outputs = column..self.columns.end.min(column + panel);
            let part = Part { inputs: start..start + depth, outputs, width: panel };
            self.weight.pack(simd, part, place);
        }
    }

    /// Bias and activation of its columns of a row.
    #[inline(always)]
    pub(crate) fn finish<S: Simd>(&self, simd: S, row: &mut [f32]) {
        if let Some(bias) = self.bias {
            row.iter_mut().zip(&bias[self.columns.clone()]).for_each(|(x, bias)| *x += bias);
        }
        match self.activation {
            Activation::Identity => {}
            Activation::Relu => row.iter_mut().for_each(|x| *x = x.max(0.0)),
            Activation::Gelu => gelu_slice(simd, row),
        }
    }
}

/// Products of some inputs with a panel, which are added to the sums of some rows, or start them. A
/// function of its own has enough registers for the addresses in its innermost loop.
struct Products<'a, const V: usize> {
    x: Matrix<'a>,
    rows: Range<usize>,
    /// The first and how many.
    inputs: [usize; 2],
    packed: &'a [f32],
    sums: &'a mut [f32],
    /// From the sums of a row to those of the next.
    width: usize,
}

impl<const V: usize> WithSimd for Products<'_, V> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, rows, inputs: [start, depth], packed, sums, width } = self;
        let b = (packed.as_ptr(), V * S::F32_LANES);
        for row in rows.clone().step_by(ROWS) {
            let a = (x.values[row * x.stride + start..].as_ptr(), x.stride);
            let out = (sums[(row - rows.start) * width..].as_mut_ptr(), width);
            let count = ROWS.min(rows.end - row);
            // SAFETY: `linear` checked that `x` is whole, the panel has `depth` rows, and `sums` has room
            // for the panel in each row.
            unsafe { tile_rows::<S, V>(simd, count, depth, a, b, out, start > 0) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect()
    }

    /// A weight in f32, `[in, out]`.
    fn by_input(values: &[f32], inputs: usize, outputs: usize) -> Weight<'_> {
        Weight::F32(Order::ByInput(Matrix::new(values, inputs, outputs)))
    }

    fn transposed<T: Copy>(x: &[T], rows: usize, columns: usize) -> Vec<T> {
        (0..rows * columns).map(|at| x[at % rows * columns + at / rows]).collect()
    }

    /// Sizes around the edges of tile, panel and block, and where weights are not packed any more.
    #[test]
    fn equals_f64() {
        let sizes = [
            (1, 1, 1),
            (5, 3, 7),
            (6, 256, 64),
            (7, 257, 65),
            (13, 1100, 300),
            (FEW_ROWS, 70, 33),
            (FEW_ROWS + 1, 70, 33),
            (400, 64, 70),
        ];
        for (rows, inputs, outputs) in sizes {
            let (x, w, b) =
                (values(rows * inputs, 1), values(inputs * outputs, 2), values(outputs, 3));
            let turned = transposed(&w, inputs, outputs);
            let by_output = Weight::F32(Order::ByOutput(Matrix::new(&turned, outputs, inputs)));
            let weights = [by_input(&w, inputs, outputs), by_output];
            let activations = [Activation::Identity, Activation::Relu];
            for (weight, activation) in
                weights.into_iter().flat_map(|w| activations.map(|a| (w, a)))
            {
                let found = linear(Matrix::new(&x, rows, inputs), weight, Some(&b), activation);
                assert_eq!(found.len(), rows * outputs);
                for (at, &found) in found.iter().enumerate() {
                    let (row, column) = (at / outputs, at % outputs);
                    let product =
                        |i| f64::from(x[row * inputs + i]) * f64::from(w[i * outputs + column]);
                    let exact = (0..inputs).map(product).sum::<f64>() + f64::from(b[column]);
                    let exact = if activation == Activation::Relu { exact.max(0.0) } else { exact };
                    let size = (0..inputs).map(|i| product(i).abs()).sum::<f64>() + 1.0;
                    let error = (f64::from(found) - exact).abs();
                    assert!(error < 2e-7 * size, "{rows}x{inputs}x{outputs}: {found}, not {exact}");
                }
            }
        }
    }

    /// Parts of wider matrices, and GELU, which is tested on its own.
    #[test]
    fn strides_and_gelu_are_applied() {
        let x = values(50 * 20, 1);
        for (rows, by_output) in [(9, false), (9, true), (50, false), (50, true)] {
            let [lines, length] = if by_output { [33, 20] } else { [20, 33] };
            let w = values(lines * 90, 2);
            let lines_of = w.chunks(90).flat_map(|line| line[10..10 + length].to_vec());
            let part: Vec<f32> = lines_of.collect();
            let x = Matrix::new(&x[..rows * 20], rows, 20);
            let wide = Matrix { values: &w[10..], rows: lines, columns: length, stride: 90 };
            let [wide, narrow] = [wide, Matrix::new(&part, lines, length)].map(|matrix| {
                let order = if by_output { Order::ByOutput } else { Order::ByInput };
                Weight::F32(order(matrix))
            });
            let mut plain = linear(x, narrow, None, Activation::Identity);
            crate::gelu(&mut plain);
            assert_eq!(linear(x, wide, None, Activation::Gelu), plain);
        }
    }

    /// What a weight is kept in changes nothing but its values: the same as those values in f32.
    #[test]
    fn narrow_weights_are_widened() {
        let (rows, inputs, outputs, block) = (7, 300, 90, 4);
        let (x, w) = (values(rows * inputs, 1), values(inputs * outputs, 2));
        let x = Matrix::new(&x, rows, inputs);
        let equal = |weight, w: &[f32]| {
            let expected = by_input(w, inputs, outputs);
            let [found, expected] =
                [weight, expected].map(|weight| linear(x, weight, None, Activation::Identity));
            assert_eq!(found, expected);
        };
        let halves: Vec<u16> = w.iter().map(|w| (w.to_bits() >> 16) as u16).collect();
        let widened: Vec<f32> =
            halves.iter().map(|&bits| f32::from_bits(u32::from(bits) << 16)).collect();
        equal(Weight::Bf16(Order::ByInput(Matrix::new(&halves, inputs, outputs))), &widened);
        let turned = transposed(&halves, inputs, outputs);
        equal(Weight::Bf16(Order::ByOutput(Matrix::new(&turned, outputs, inputs))), &widened);

        let quantized: Vec<i8> = w.iter().map(|w| (w * 127.0) as i8).collect();
        let scales = values(inputs / block * outputs, 3);
        let scale = |at: usize| scales[at / outputs / block * outputs + at % outputs];
        let widened: Vec<f32> =
            quantized.iter().enumerate().map(|(at, &q)| f32::from(q) * scale(at)).collect();
        let weight = Weight::Q8 {
            values: Matrix::new(&quantized, inputs, outputs),
            scales: Matrix::new(&scales, inputs / block, outputs),
            block,
        };
        equal(weight, &widened);
    }

    #[test]
    fn threads_change_nothing() {
        let (x, w) = (values(500 * 300, 1), values(300 * 400, 2));
        for rows in [20, 500] {
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let x = Matrix::new(&x[..rows * 300], rows, 300);
                let w = Weight::F32(Order::ByOutput(Matrix::new(&w, 400, 300)));
                pool.install(|| linear(x, w, None, Activation::Identity))
            };
            assert_eq!(run(1), run(5));
        }
    }

    #[test]
    fn empty_sizes_are_whole_matrices() {
        let empty = Matrix::new(&[], 0, 3);
        let weight = by_input(&[0.0; 6], 3, 2);
        assert!(linear(empty, weight, None, Activation::Relu).is_empty());
        let weight = by_input(&[], 0, 2);
        let none = linear(Matrix::new(&[], 2, 0), weight, None, Activation::Relu);
        assert_eq!(none, [0.0; 4]);
    }
}
