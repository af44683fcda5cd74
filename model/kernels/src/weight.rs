//! The forms in which a weight is kept.

use pulp::Simd;

use crate::matrix::{Matrix, Part};
use crate::transpose::transpose;

/// The matrix of a weight, in one of its two orders.
#[derive(Debug, Clone, Copy)]
pub enum Order<'a, T = f32> {
    /// `[in, out]`: a row for each input.
    ByInput(Matrix<'a, T>),
    /// `[out, in]`: a row for each output, as files have it.
    ByOutput(Matrix<'a, T>),
}

impl<T: Copy> Order<'_, T> {
    fn sizes(&self) -> [usize; 2] {
        match self {
            Self::ByInput(matrix) => [matrix.rows, matrix.columns],
            Self::ByOutput(matrix) => [matrix.columns, matrix.rows],
        }
    }

    fn is_whole(&self) -> bool {
        let (Self::ByInput(matrix) | Self::ByOutput(matrix)) = self;
        matrix.is_whole()
    }

    /// [`Weight::pack`], with what makes f32 of a value.
    #[inline(always)]
    fn pack<S: Simd>(&self, simd: S, part: Part, place: &mut [f32], widen: impl Fn(T) -> f32) {
        match self {
            Self::ByInput(matrix) => {
                for (input, place) in part.inputs.zip(place.chunks_exact_mut(part.width)) {
                    let values = &matrix.row(input)[part.outputs.clone()];
                    place.iter_mut().zip(values).for_each(|(x, &value)| *x = widen(value));
                }
            }
            Self::ByOutput(matrix) => transpose(simd, *matrix, part, place, widen),
        }
    }
}

/// A weight as it is kept. Whatever it is kept in, sums are in f32: it is widened where it is packed.
#[derive(Debug, Clone, Copy)]
pub enum Weight<'a> {
    /// In f32.
    F32(Order<'a>),
    /// In the upper halves of f32, the bits of bf16.
    Bf16(Order<'a, u16>),
    /// In 8 bits, each `block` rows of a column with a scale of their own, `[in / block, out]`.
    Q8 {
        /// Multiples of the scales, `[in, out]`.
        values: Matrix<'a, i8>,
        /// The scales.
        scales: Matrix<'a>,
        /// Rows that share a scale.
        block: usize,
    },
}

impl Weight<'_> {
    /// Inputs and outputs.
    pub(crate) fn sizes(&self) -> [usize; 2] {
        match self {
            Self::F32(matrix) => matrix.sizes(),
            Self::Bf16(matrix) => matrix.sizes(),
            Self::Q8 { values, .. } => [values.rows, values.columns],
        }
    }

    /// Whether all of its values are there.
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Self::F32(matrix) => matrix.is_whole(),
            Self::Bf16(matrix) => matrix.is_whole(),
            Self::Q8 { values, scales, block } => {
                let fits = *block > 0 && scales.rows == values.rows.div_ceil(*block);
                fits && scales.columns == values.columns && scales.is_whole() && values.is_whole()
            }
        }
    }

    /// Copies a part to `place` as f32, `[inputs, width]`. What is beyond its outputs is left as it is.
    #[inline(always)]
    pub(crate) fn pack<S: Simd>(&self, simd: S, part: Part, place: &mut [f32]) {
        match self {
            Self::F32(matrix) => matrix.pack(simd, part, place, |x| x),
            Self::Bf16(matrix) => {
                matrix.pack(simd, part, place, |bits| f32::from_bits(u32::from(bits) << 16));
            }
            Self::Q8 { values, scales, block } => {
                for (input, place) in part.inputs.zip(place.chunks_exact_mut(part.width)) {
                    let scales = &scales.row(input / block)[part.outputs.clone()];
                    let values = values.row(input)[part.outputs.clone()].iter().zip(scales);
                    let place = place.iter_mut().zip(values);
                    place.for_each(|(x, (&q, scale))| *x = f32::from(q) * scale);
                }
            }
        }
    }
}
