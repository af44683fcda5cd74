//! Batch normalisation of the mask head (Eq. 8), as PyTorch's `BatchNorm2d`.
//!
//! The published decoder is called once per conversation. So in training, the masks of one
//! conversation are a batch, and each conversation updates the running statistics once.
//!
//! Burn's own module does not know conversations, keeps no `num_batches_tracked`, and changes
//! itself during the forward pass. Here the forward pass returns the statistics of its batches, and
//! the trainer applies them after the step ([`BatchNorm::updated`]). So a step that fails changes
//! nothing, and of several replicas only the first one's statistics are applied.

use burn::module::{Flag, Module, Param, ParamId};
use burn::nn::Initializer;
use burn::tensor::{Device, Int, Tensor};

/// Share of a new batch in the running statistics.
const MOMENTUM: f64 = 0.1;
const EPSILON: f64 = 1e-5;

/// `gamma · (x - mean) / sqrt(variance + eps) + beta`, channel by channel.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// Scale, `[channels]`.
    pub gamma: Param<Tensor<1>>,
    /// Shift, `[channels]`.
    pub beta: Param<Tensor<1>>,
    /// Running mean, `[channels]`.
    pub running_mean: Param<Tensor<1>>,
    /// Running variance, `[channels]`.
    pub running_var: Param<Tensor<1>>,
    /// Number of batches in the running statistics, `[1]`.
    pub num_batches_tracked: Param<Tensor<1, Int>>,
    /// Whether training normalises by the statistics of the batch. Without gradients, the running
    /// statistics are always used.
    pub training: Param<Flag>,
}

/// Mean and unbiased variance of one batch, `[channels]` each.
#[derive(Debug, Clone)]
pub struct BatchStatistics {
    /// The mean.
    pub mean: Tensor<1>,
    /// The variance, divided by the number of values less one.
    pub variance: Tensor<1>,
}

impl BatchNorm {
    /// As PyTorch starts it: scale 1, shift 0, running mean 0 and variance 1.
    pub fn new(channels: usize, device: &Device) -> Self {
        let ones = || Initializer::Ones.init([channels], device);
        let zeros = || Initializer::Zeros.init([channels], device);
        Self {
            gamma: ones(),
            beta: zeros(),
            running_mean: zeros().set_require_grad(false),
            running_var: ones().set_require_grad(false),
            num_batches_tracked: Param::initialized(ParamId::new(), Tensor::zeros([1], device)),
            training: Param::from_bool(false),
        }
    }

    /// Normalises by the running statistics or, in training, by those of each conversation, which
    /// are returned in the order of the conversations.
    ///
    /// # Shapes
    /// - `x`: `[n, channels, h, w]`, output: the same
    /// - `conversations`: how many of the `n` maps belong to each
    pub fn forward(
        &self,
        x: Tensor<4>,
        conversations: &[usize],
    ) -> (Tensor<4>, Vec<BatchStatistics>) {
        if !self.training.is_enabled() || !x.device().is_autodiff() {
            return (self.by_running_statistics(x), Vec::new());
        }
        let maps = x.split_with_sizes(conversations.to_vec(), 0);
        let (maps, statistics): (Vec<_>, _) =
            maps.into_iter().map(|maps| self.by_batch(maps)).unzip();
        (Tensor::cat(maps, 0), statistics)
    }

    fn by_running_statistics(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, channels, _, _] = x.dims();
        let scale = self.gamma.val() / (self.running_var.val() + EPSILON).sqrt();
        let shift = self.beta.val() - self.running_mean.val() * scale.clone();
        x * scale.reshape([1, channels, 1, 1]) + shift.reshape([1, channels, 1, 1])
    }

    fn by_batch(&self, x: Tensor<4>) -> (Tensor<4>, BatchStatistics) {
        let [n, channels, height, width] = x.dims();
        let count = n * height * width;
        let unbiased = count as f64 / count.saturating_sub(1).max(1) as f64;
        let x = x.swap_dims(0, 1).reshape([channels, count]); // [channels, n h w]
        let mean = x.clone().mean_dim(1); // [channels, 1]
        let centred = x - mean.clone();
        let variance = centred.clone().square().mean_dim(1); // [channels, 1], biased
        let statistics = BatchStatistics {
            mean: mean.inner().squeeze_dim(1),
            variance: variance.clone().inner().squeeze_dim(1) * unbiased,
        };
        let y = centred / (variance + EPSILON).sqrt() * self.gamma.val().unsqueeze_dim(1)
            + self.beta.val().unsqueeze_dim(1);
        (y.reshape([channels, n, height, width]).swap_dims(0, 1), statistics) // [n, channels, h, w]
    }

    /// The running statistics after some batches, in their order.
    pub fn updated(mut self, batches: &[BatchStatistics]) -> Self {
        let toward = |running: Tensor<1>, batch: &Tensor<1>| {
            running * (1.0 - MOMENTUM) + batch.clone() * MOMENTUM
        };
        for BatchStatistics { mean, variance } in batches {
            self.running_mean = self.running_mean.map(|running| toward(running, mean));
            self.running_var = self.running_var.map(|running| toward(running, variance));
            self.num_batches_tracked = self.num_batches_tracked.map(|count| count + 1);
        }
        self
    }
}
