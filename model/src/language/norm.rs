//! The RMS norm of the published language models.

use burn::nn::RmsNorm;
use burn::tensor::{DType, Tensor};

/// `x / sqrt(mean(x²) + eps)` in f32, then times the weight in the dtype of `x`. Burn's own norm
/// rounds the root first, and its graph holds `x` in both dtypes.
pub(super) fn rms_norm<const D: usize>(norm: &RmsNorm, x: Tensor<D>) -> Tensor<D> {
    let dtype = x.dtype();
    let x = x.cast(DType::F32);
    let root = (x.clone().square().mean_dim(D - 1) + norm.epsilon).sqrt(); // [..., 1]
    (x / root).cast(dtype) * norm.gamma.val().unsqueeze()
}
