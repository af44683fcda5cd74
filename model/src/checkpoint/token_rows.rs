//! Rows for the tokens that MLLMSeg adds to a base model, `[SEG]` and `[REJ]`.

use burn::tensor::{DType, Device, Distribution, Tensor, TensorData};
use burn_pack::Tensor as PackTensor;
use burn_store::bridge;

/// The most tokens that are added.
pub(super) const MAX_NEW_TOKENS: usize = 2;

/// Appends rows to a token table `[rows, d]`, if it is one. Output rows start as the mean of the
/// old ones, so that a new token is as likely as an average one; input rows are drawn on `device`
/// as the language model's own were.
pub(super) fn with_new_rows(
    tensor: PackTensor,
    path: &str,
    rows: usize,
    device: &Device,
) -> PackTensor {
    let device = match path {
        "language_model.embed_tokens.weight" => Some(device.clone()),
        "language_model.lm_head.weight" => None,
        _ => return tensor,
    };
    if rows == 0 || tensor.shape.len() != 2 || !tensor.dtype.is_float() {
        return tensor; // of a wrong shape or dtype: an error when the model takes it
    }
    let (name, mut shape) = (tensor.name.clone(), tensor.shape.clone());
    shape[0] += rows;
    bridge::map_data(tensor, name, DType::F32, shape, move |old| match &device {
        Some(device) => with_drawn_rows(old, rows, device),
        None => with_mean_rows(old, rows),
    })
}

fn with_drawn_rows(old: TensorData, rows: usize, device: &Device) -> TensorData {
    const INITIALIZER_RANGE: f64 = 0.02;
    let [count, width] = old.shape().dims();
    let normal = Distribution::Normal(0.0, INITIALIZER_RANGE);
    let drawn = Tensor::<2>::random([rows, width], normal, device).into_data();
    let values: Vec<f32> = old.iter::<f32>().chain(drawn.iter::<f32>()).collect();
    TensorData::new(values, [count + rows, width])
}

fn with_mean_rows(old: TensorData, rows: usize) -> TensorData {
    let [count, width] = old.shape().dims();
    let mut values: Vec<f32> = old.iter::<f32>().collect();
    let mut sums = vec![0f64; width];
    for row in values.chunks(width) {
        sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += value as f64);
    }
    let mean: Vec<f32> = sums.into_iter().map(|sum| (sum / count as f64) as f32).collect();
    (0..rows).for_each(|_| values.extend_from_slice(&mean));
    TensorData::new(values, [count + rows, width])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_output_rows_are_the_mean_of_the_old() {
        let old = TensorData::from([[1.0f32, 2.0], [3.0, 6.0]]);
        let grown = with_mean_rows(old, 2);
        let expected = TensorData::from([[1.0f32, 2.0], [3.0, 6.0], [2.0, 4.0], [2.0, 4.0]]);
        grown.assert_eq(&expected, true);
    }
}
