//! Matrices and parts of them.

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
    pub(crate) fn row(&self, row: usize) -> &'a [T] {
        &self.values[row * self.stride..][..self.columns]
    }
}

/// A part of a weight.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub inputs: Range<usize>,
    pub outputs: Range<usize>,
    /// From an input to the next, where the part is copied to: as many outputs, or more.
    pub width: usize,
}
