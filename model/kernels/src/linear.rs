//! A linear layer with its bias and activation in one pass.
//!
//! Each task takes a block of columns and some rows. It copies its part of the weight, a few hundred
//! rows at a time, into panels that stay in the processor's second cache, and multiplies all its rows
//! with them. Few rows of `x` are multiplied with the weight where it is, if it is `[out, in]`. The sum over the inputs has a fixed order, so a result does not depend on the number
//! of threads.
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
use crate::tile::{ROWS, tile_rows};
use crate::weight::{Matrix, Order, Part, Weight};

/// Rows of the weight that are packed at a time.
const DEPTH: usize = 256;
/// Columns of a task: packed, 256 KB, half of a usual second cache.
const COLUMNS: usize = 256;
/// The fewest columns of a task: a panel of the widest processor.
const FEWEST_COLUMNS: usize = 64;
/// The fewest rows of a task, when there are more: packing is then a small part of its work.
const FEWEST_ROWS: usize = 192;

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

/// `activation(x W + b)`, by rows, `[x.rows, weight.columns]`.
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
    let (column_step, row_step) = steps(rows, columns);
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
        PACKED.with_borrow_mut(|packed| vectorised(Vectorised { task, packed }));
    });
    // SAFETY: the tasks cover all rows and columns, and each writes all of its part.
    unsafe { out.set_len(rows * columns) };
    out
}

/// Columns and rows of a task: about four tasks for each thread, if the sizes allow.
fn steps(rows: usize, columns: usize) -> (usize, usize) {
    let wanted = 4 * rayon::current_num_threads();
    let column_step = (columns / wanted).next_multiple_of(FEWEST_COLUMNS);
    let column_step = column_step.clamp(FEWEST_COLUMNS, COLUMNS);
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
    /// The packed part of a weight.
    static PACKED: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

struct Vectorised<'a> {
    task: Task<'a>,
    packed: &'a mut Vec<f32>,
}

impl WithSimd for Vectorised<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Each sum of a tile has its register: 24 of 32, or 12 of 16.
        match S::REGISTER_COUNT {
            ..32 => self.task.run::<S, 2>(simd, self.packed),
            _ => self.task.run::<S, 4>(simd, self.packed),
        }
    }
}

impl Task<'_> {
    #[inline(always)]
    fn run<S: Simd, const V: usize>(&self, simd: S, packed: &mut Vec<f32>) {
        if let Weight::F32(Order::ByOutput(weight)) = self.weight
            && self.x.rows <= FEW_ROWS
        {
            return self.run_unpacked::<S, V>(simd, weight);
        }
        let panel = V * S::F32_LANES;
        let panels = self.columns.len().div_ceil(panel);
        packed.resize(DEPTH * COLUMNS.next_multiple_of(panel), 0.0);
        for start in (0..self.x.columns).step_by(DEPTH) {
            let depth = DEPTH.min(self.x.columns - start);
            self.pack(simd, start, depth, panel, packed);
            for row in self.rows.clone().step_by(ROWS) {
                let rows = ROWS.min(self.rows.end - row);
                for index in 0..panels {
                    let b = packed[index * panel * depth..].as_ptr();
                    let column = self.columns.start + index * panel;
                    let columns = panel.min(self.columns.end - column);
                    self.product::<S, V>(simd, [row, rows], [column, columns], [start, depth], b);
                }
                if start + depth == self.x.columns {
                    (row..row + rows).for_each(|row| self.finish(simd, row));
                }
            }
        }
        if self.x.columns == 0 {
            self.rows.clone().for_each(|row| self.finish(simd, row));
        }
    }

    /// Copies inputs `start..start + depth` of its columns, panel by panel. What the last one has beyond
    /// them is multiplied too, and not used.
    #[inline(always)]
    fn pack<S: Simd>(&self, simd: S, start: usize, depth: usize, panel: usize, packed: &mut [f32]) {
        let places = packed.chunks_exact_mut(depth * panel);
        for (column, place) in self.columns.clone().step_by(panel).zip(places) {
            let outputs = column..self.columns.end.min(column + panel);
            let part = Part { inputs: start..start + depth, outputs, width: panel };
            self.weight.pack(simd, part, place);
        }
    }

    /// Adds the product of some inputs to a few rows of a panel, or starts them with it.
    #[inline(always)]
    fn product<S: Simd, const V: usize>(
        &self,
        simd: S,
        [row, rows]: [usize; 2],
        [column, columns]: [usize; 2],
        [start, depth]: [usize; 2],
        b: *const f32,
    ) {
        let panel = V * S::F32_LANES;
        let [_, width] = self.weight.sizes();
        let a = (self.x.values[row * self.x.stride + start..].as_ptr(), self.x.stride);
        // SAFETY: `linear` checked that the matrices are whole. The rows and columns are those of
        // this task alone, and `out` has room for all.
        unsafe {
            let out = self.out.0.add(row * width + column);
            if columns == panel {
                return tile_rows::<S, V>(
                    simd,
                    rows,
                    depth,
                    a,
                    (b, panel),
                    (out, width),
                    start > 0,
                );
            }
            let mut edge = [[0.0f32; 256]; ROWS];
            let place = (edge.as_mut_ptr().cast::<f32>(), 256);
            tile_rows::<S, V>(simd, rows, depth, a, (b, panel), place, false);
            for (r, edge) in edge[..rows].iter().enumerate() {
                for (c, &sum) in edge[..columns].iter().enumerate() {
                    let place = out.add(r * width + c);
                    place.write(if start > 0 { place.read() + sum } else { sum });
                }
            }
        }
    }

    /// Bias and activation of a row.
    #[inline(always)]
    pub(crate) fn finish<S: Simd>(&self, simd: S, row: usize) {
        let start = row * self.weight.sizes()[1] + self.columns.start;
        // SAFETY: this part of the row belongs to this task alone, which has written it.
        let row =
            unsafe { std::slice::from_raw_parts_mut(self.out.0.add(start), self.columns.len()) };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect()
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
            let weights = [Weight::by_input(&w, inputs, outputs), by_output];
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
            let expected = Weight::by_input(w, inputs, outputs);
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
        let weight = Weight::by_input(&[0.0; 6], 3, 2);
        assert!(linear(empty, weight, None, Activation::Relu).is_empty());
        let weight = Weight::by_input(&[], 0, 2);
        let none = linear(Matrix::new(&[], 2, 0), weight, None, Activation::Relu);
        assert_eq!(none, [0.0; 4]);
    }
}
