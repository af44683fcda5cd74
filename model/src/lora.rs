//! A linear layer with an optional low-rank adapter: `y = x W + b + s · drop(x) A B`.
//!
//! The product `A B` is never formed: `(x A) B` costs `r (in + out)` per row in place of
//! `in · out`, and its backward holds no gradient of the size of the frozen weight
//! (`burn::module::Lora` composes the dense weight in every forward).

use burn::module::{Module, Param};
use burn::nn::{Dropout, DropoutConfig, Initializer};
use burn::tensor::{Device, Tensor};

use crate::cpu::{Activation, linear};
use crate::dropout::drop_adapter_input;

/// Rank, scale and dropout of the adapters, the same for every layer that has one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoraConfig {
    /// Rank `r` of the update.
    pub rank: usize,
    /// `alpha`; the update is scaled by `alpha / rank`.
    pub alpha: f64,
    /// Dropout on the adapter's input, in training only.
    pub dropout: f64,
}

impl LoraConfig {
    /// The published choice for a rank: `alpha = 2 r`, dropout 0.05.
    pub fn published(rank: usize) -> Self {
        Self { rank, alpha: 2.0 * rank as f64, dropout: 0.05 }
    }

    /// The factor of the update.
    pub fn scale(&self) -> f64 {
        self.alpha / self.rank as f64
    }
}

/// `x W + b`, plus the low-rank update when there is one.
#[derive(Module, Debug)]
pub struct LoraLinear {
    /// `[in, out]` (checkpoints store `[out, in]`).
    pub weight: Param<Tensor<2>>,
    /// `[out]`
    pub bias: Option<Param<Tensor<1>>>,
    /// The adapter, absent in merged checkpoints.
    pub lora: Option<LoraFactors>,
}

/// The two factors of the low-rank update.
#[derive(Module, Debug)]
pub struct LoraFactors {
    /// `[in, r]`
    pub a: Param<Tensor<2>>,
    /// `[r, out]`, zero at the start of training.
    pub b: Param<Tensor<2>>,
    scale: f64,
    dropout: Dropout,
}

impl LoraFactors {
    /// Factors whose update is zero: A drawn at random, B zero (as PEFT starts them).
    pub fn new(d_input: usize, d_output: usize, config: LoraConfig, device: &Device) -> Self {
        let kaiming = Initializer::KaimingUniform { gain: 1.0 / 3f64.sqrt(), fan_out_only: false };
        let shape_a = [d_input, config.rank];
        Self {
            a: kaiming.init_with::<2, _>(shape_a, Some(d_input), Some(config.rank), device),
            b: Initializer::Zeros.init([config.rank, d_output], device),
            scale: config.scale(),
            dropout: DropoutConfig::new(config.dropout).init(),
        }
    }

    /// Rank and scale.
    pub fn config(&self) -> LoraConfig {
        let [_, rank] = self.a.dims();
        let dropout = self.dropout.prob;
        LoraConfig { rank, alpha: self.scale * rank as f64, dropout }
    }

    /// `s · drop(x) A B`. The factors are kept in f32 whatever the base is in, as training needs;
    /// the products are computed in the dtype of `x`, so that what a graph holds is no larger.
    ///
    /// # Shapes
    /// - `x`: `[b t, in]`, output: `[b t, out]`
    fn update(&self, x: Tensor<2>) -> Tensor<2> {
        let dtype = x.dtype();
        let (x, kept) = drop_adapter_input(&self.dropout, x); // [b t, in]
        let low_rank = linear(x, self.a.val().cast(dtype), None, Activation::Identity); // [b t, r]
        linear(low_rank, self.b.val().cast(dtype), None, Activation::Identity) * (self.scale / kept) // [b t, out]
    }
}

impl LoraLinear {
    /// A layer `d_input -> d_output`, its weights to be drawn at first use or loaded before.
    pub fn new(
        [d_input, d_output]: [usize; 2],
        bias: bool,
        lora: Option<LoraConfig>,
        device: &Device,
    ) -> Self {
        let xavier = Initializer::XavierUniform { gain: 1.0 };
        let shape = [d_input, d_output];
        Self {
            weight: xavier.init_with::<2, _>(shape, Some(d_input), Some(d_output), device),
            bias: bias.then(|| Initializer::Zeros.init([d_output], device)),
            lora: lora.map(|lora| LoraFactors::new(d_input, d_output, lora, device)),
        }
    }

    /// # Shapes
    /// - `x`: `[b, t, in]`, output: `[b, t, out]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, length, d_input] = x.dims();
        // One product for the whole batch: with three dimensions the CPU reads the weight once a row.
        let x = x.reshape([batch * length, d_input]); // [b t, in]
        let update = self.lora.as_ref().map(|lora| lora.update(x.clone()));
        let mut y = linear(
            x,
            self.weight.val(),
            self.bias.as_ref().map(|bias| bias.val()),
            Activation::Identity,
        ); // [b t, out]
        if let Some(update) = update {
            y = y + update;
        }
        let [_, d_output] = y.dims();
        y.reshape([batch, length, d_output])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;

    /// W = [[1, 2], [3, 4]], A = [[1], [2]], B = [[10, 20]], alpha / r = 2:
    /// x = [1, 1] gives x W = [4, 6] and 2 · (x A) B = 2 · 3 · [10, 20] = [60, 120].
    #[test]
    fn update_equals_the_hand_computation() {
        let device = crate::test_device();
        let config = LoraConfig { rank: 1, alpha: 2.0, dropout: 0.0 };
        let mut layer = LoraLinear::new([2, 2], false, Some(config), &device);
        layer.weight = Param::from_data([[1.0, 2.0], [3.0, 4.0]], &device);
        let lora = layer.lora.as_mut().expect("made with an adapter");
        lora.a = Param::from_data([[1.0], [2.0]], &device);
        lora.b = Param::from_data([[10.0, 20.0]], &device);
        let x = Tensor::<3>::from_data([[[1.0, 1.0]]], &device);
        layer.forward(x).into_data().assert_eq(&TensorData::from([[[64.0, 126.0]]]), false);
    }

    #[test]
    fn a_fresh_adapter_changes_nothing() {
        let device = crate::test_device();
        let lora = Some(LoraConfig::published(4));
        let layer = LoraLinear::new([3, 5], true, lora, &device);
        let x = Tensor::<3>::ones([1, 2, 3], &device);
        let with = layer.forward(x.clone()).into_data();
        let without =
            burn::tensor::module::linear(x, layer.weight.val(), layer.bias.map(|b| b.val()))
                .into_data();
        with.assert_eq(&without, true);
    }
}
