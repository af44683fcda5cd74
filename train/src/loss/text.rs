//! L_text of Eq. 14.

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Int, Tensor};

// ANCHOR: text
/// Mean of `-log softmax(logits)[target]`, computed in f32; 0 without any row.
///
/// # Shapes
/// - `logits`: `[n, v]`, `targets`: `[n]`; output: `[1]`
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let [rows, _] = logits.dims();
    if rows == 0 {
        return Tensor::zeros([1], (&logits.device(), DType::F32));
    }
    let log_probabilities = log_softmax(logits.cast(DType::F32), 1); // [n, v]
    let of_targets = log_probabilities.gather(1, targets.unsqueeze_dim(1)); // [n, 1]
    of_targets.mean().neg()
}
// ANCHOR_END: text

#[cfg(test)]
mod tests {
    use super::*;

    /// softmax([0, ln 3]) = [1/4, 3/4] and softmax([ln 2, 0]) = [2/3, 1/3]: the mean of
    /// -ln 3/4 and -ln 1/3 is ln 4 / 2.
    #[test]
    fn mean_of_two_rows_by_hand() {
        let device = crate::test_device();
        let logits = Tensor::from_data([[0.0, 3f32.ln()], [2f32.ln(), 0.0]], &device);
        let targets = Tensor::from_data([1, 1], &device);
        let loss = cross_entropy(logits, targets).into_scalar::<f32>();
        assert!((loss - 4f32.ln() / 2.0).abs() < 1e-6, "{loss}");
    }

    #[test]
    fn large_logits_stay_finite() {
        let device = crate::test_device();
        let logits = Tensor::from_data([[1e4, -1e4]], &device);
        let loss = cross_entropy(logits, Tensor::from_data([1], &device)).into_scalar::<f32>();
        assert_eq!(loss, 2e4);
    }
}
