//! Matrices, and the forms in which a weight is kept.

use std::ops::Range;

/// A matrix by rows.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a, T = f32> {
    /// From its first value on.
    pub values: &'a [T],
    /// Its rows.
    pub rows: usize,
    /// Its columns.
    pub columns: usize,
    /// From the start of a row to that of the next.
    pub stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// A matrix whose rows follow each other.
    pub fn new(values: &'a [T], rows: usize, columns: usize) -> Self {
        Self { values, rows, columns, stride: columns }
    }

    /// Whether all of its values are there.
    pub(crate) fn is_whole(&self) -> bool {
        let last_row = self.rows.checked_sub(1).and_then(|rows| rows.checked_mul(self.stride));
        let end = last_row.map_or(Some(0), |start| start.checked_add(self.columns));
        self.columns <= self.stride && end.is_some_and(|end| end <= self.values.len())
    }

    #[inline(always)]
    fn row(&self, row: usize) -> &'a [T] {
        &self.values[row * self.stride..][..self.columns]
    }
}

/// A weight as it is kept. Whatever it is kept in, sums are in f32: it is widened where it is packed.
#[derive(Debug, Clone, Copy)]
pub enum Weight<'a> {
    /// In f32.
    F32(Matrix<'a>),
    /// In the upper halves of f32, the bits of bf16.
    Bf16(Matrix<'a, u16>),
    /// In 8 bits, each `block` rows of a column with a scale of their own, `[rows / block, columns]`.
    Q8 {
        /// Multiples of the scales.
        values: Matrix<'a, i8>,
        /// The scales.
        scales: Matrix<'a>,
        /// Rows that share a scale.
        block: usize,
    },
}

impl Weight<'_> {
    /// Rows and columns.
    pub(crate) fn sizes(&self) -> [usize; 2] {
        match self {
            Self::F32(matrix) => [matrix.rows, matrix.columns],
            Self::Bf16(matrix) => [matrix.rows, matrix.columns],
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

    /// Copies some columns of a row into `place`, or fewer at the edge, as f32.
    #[inline(always)]
    pub(crate) fn widen(&self, row: usize, columns: Range<usize>, place: &mut [f32]) {
        match self {
            Self::F32(matrix) => place.copy_from_slice(&matrix.row(row)[columns]),
            Self::Bf16(matrix) => {
                let bits = &matrix.row(row)[columns];
                place.iter_mut().zip(bits).for_each(|(x, &bits)| {
                    *x = f32::from_bits(u32::from(bits) << 16);
                });
            }
            Self::Q8 { values, scales, block } => {
                let scales = &scales.row(row / block)[columns.clone()];
                let values = values.row(row)[columns].iter().zip(scales);
                place.iter_mut().zip(values).for_each(|(x, (&q, scale))| *x = f32::from(q) * scale);
            }
        }
    }
}
