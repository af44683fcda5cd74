//! Resizing as two matrix products.
//!
//! Burn's own `interpolate` aligns corners by default, has no bicubic or bilinear backward on GPUs,
//! and its kernels differ between backends. A resize is linear and separable, so it is
//! `rows · image · columnsᵀ` with fixed matrices: the same on every device, and differentiable.

use burn::tensor::{Tensor, TensorData};

/// The kernel that weighs neighbouring samples, as in `torch.nn.functional.interpolate` without
/// antialiasing and with `align_corners=False`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// Two neighbours.
    Bilinear,
    /// Four neighbours, cubic convolution with a = -0.75.
    Bicubic,
}

impl Kernel {
    /// Weights of the neighbours `floor - 1, floor, floor + 1, floor + 2` at a fraction in [0, 1).
    fn weights(self, fraction: f64) -> [f64; 4] {
        match self {
            Kernel::Bilinear => [0.0, 1.0 - fraction, fraction, 0.0],
            Kernel::Bicubic => {
                const A: f64 = -0.75;
                let near = |x: f64| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
                let far = |x: f64| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
                [far(fraction + 1.0), near(fraction), near(1.0 - fraction), far(2.0 - fraction)]
            }
        }
    }
}

/// The matrix that resizes `from` samples to `to`, row-major `[to, from]`; rows sum to one.
/// Neighbours past the border repeat the border sample.
pub fn resize_matrix(kernel: Kernel, from: usize, to: usize) -> Vec<f32> {
    let mut matrix = vec![0.0; to * from];
    let scale = from as f64 / to as f64;
    for (target, row) in matrix.chunks_mut(from).enumerate() {
        let mut source = (target as f64 + 0.5) * scale - 0.5;
        if kernel == Kernel::Bilinear {
            source = source.max(0.0); // PyTorch clamps here for the linear kernel only
        }
        let floor = source.floor();
        for (tap, weight) in kernel.weights(source - floor).into_iter().enumerate() {
            let index = (floor as i64 + tap as i64 - 1).clamp(0, from as i64 - 1);
            row[index as usize] += weight as f32;
        }
    }
    matrix
}

/// Resizes the last two dimensions.
///
/// # Shapes
/// - `x`: `[b, n, h, w]`, output: `[b, n, to[0], to[1]]`
pub fn resize(x: Tensor<4>, to: [usize; 2], kernel: Kernel) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    if [height, width] == to {
        return x;
    }
    let matrix = |from: usize, to: usize| {
        let data = TensorData::new(resize_matrix(kernel, from, to), [1, 1, to, from]);
        Tensor::<4>::from_data(data, &x.device()).cast(x.dtype())
    };
    let rows = matrix(height, to[0]); // [1, 1, to_h, h]
    let columns = matrix(width, to[1]).swap_dims(2, 3); // [1, 1, w, to_w]
    rows.matmul(x.matmul(columns)) // [b, n, to_h, to_w]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `F.interpolate(torch.tensor([[[0., 1., 2., 4.]]]), size, mode="linear")` by hand:
    /// centres of 2 targets over 4 sources are at 0.5 and 2.5.
    #[test]
    fn bilinear_halving_averages_pairs() {
        assert_eq!(resize_matrix(Kernel::Bilinear, 4, 2), [0.5, 0.5, 0., 0., 0., 0., 0.5, 0.5]);
    }

    #[test]
    fn bilinear_doubling_repeats_the_border() {
        let expected = [1.0, 0.0, 0.75, 0.25, 0.25, 0.75, 0.0, 1.0];
        assert_eq!(resize_matrix(Kernel::Bilinear, 2, 4), expected);
    }

    /// Cubic weights at a fraction of one half are (a/8, 1/2 - a/8, 1/2 - a/8, a/8) with
    /// a = -0.75: -0.09375 and 0.59375.
    #[test]
    fn bicubic_weights_at_one_half() {
        let row = &resize_matrix(Kernel::Bicubic, 8, 4)[8..16];
        assert_eq!(row, [0.0, -0.09375, 0.59375, 0.59375, -0.09375, 0.0, 0.0, 0.0]);
    }
}
