//! A part of a weight whose rows are outputs, copied to rows of inputs.

use pulp::{Simd, bytemuck};

use crate::matrix::{Matrix, Part};
use crate::prefetch::prefetch;

/// Values of a row that are read at a time: a vector has lanes of so many, or is a single value.
const QUAD: usize = 4;
/// How far ahead memory is asked for, in values.
const AHEAD: usize = 64;

/// Copies `matrix[output, input]` to `place[input, output]`, both counted from the start of the part.
#[inline(always)]
pub(crate) fn transpose<S: Simd, T: Copy>(
    simd: S,
    matrix: Matrix<T>,
    part: Part,
    place: &mut [f32],
    widen: impl Fn(T) -> f32,
) {
    let Part { inputs, outputs, width } = part;
    let lanes = S::F32_LANES;
    let whole = match lanes % QUAD {
        0 => outputs.len() / lanes * lanes,
        _ => 0,
    };
    let depth = inputs.len() / QUAD * QUAD;
    for start in (0..whole).step_by(lanes) {
        for input in (0..depth).step_by(QUAD) {
            let mut vectors = [simd.splat_f32s(0.0); QUAD];
            for (r, vector) in vectors.iter_mut().enumerate() {
                let quads: &mut [[f32; QUAD]] =
                    bytemuck::cast_slice_mut(std::slice::from_mut(vector));
                for (l, quad) in quads.iter_mut().enumerate() {
                    let row = matrix.row(outputs.start + start + l * QUAD + r);
                    let values = &row[inputs.start + input..][..QUAD];
                    prefetch(values.as_ptr().wrapping_add(AHEAD));
                    quad.iter_mut().zip(values).for_each(|(x, &value)| *x = widen(value));
                }
            }
            // Four values of each output become four vectors of outputs, lane by lane.
            let vectors = simd.deinterleave_shfl_f32s(vectors);
            for (i, vector) in vectors.iter().enumerate() {
                let row = &mut place[(input + i) * width + start..][..lanes];
                row.copy_from_slice(bytemuck::cast_slice(std::slice::from_ref(vector)));
            }
        }
    }
    for (column, output) in outputs.enumerate() {
        let values = &matrix.row(output)[inputs.clone()];
        let rest = if column < whole { depth } else { 0 };
        for (input, &value) in values.iter().enumerate().skip(rest) {
            place[input * width + column] = widen(value);
        }
    }
}
