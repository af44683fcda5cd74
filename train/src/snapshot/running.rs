//! The running statistics of the mask head's batch norm, which training changes without gradients.

use burn::module::Param;
use burn::tensor::{Tensor, TensorData};
use mllmseg_model::mask_decoder::batch_norm::BatchNorm;
use serde::{Deserialize, Serialize};

/// The shortest decimals that give the same f32 back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RunningStatistics {
    running_mean: Vec<f32>,
    running_var: Vec<f32>,
    num_batches_tracked: i32,
}

impl RunningStatistics {
    /// Those of a batch norm whose training changes them; waits for the device.
    pub fn of(norm: &BatchNorm) -> Option<Self> {
        let values = |x: &Param<Tensor<1>>| x.val().into_data().iter::<f32>().collect();
        norm.training.is_enabled().then(|| Self {
            running_mean: values(&norm.running_mean),
            running_var: values(&norm.running_var),
            num_batches_tracked: norm.num_batches_tracked.val().into_scalar::<i32>(),
        })
    }
}

/// Puts saved statistics into a batch norm.
///
/// # Errors
/// What is missing, not expected or of another length.
pub(super) fn restore(
    norm: &mut BatchNorm,
    saved: Option<RunningStatistics>,
) -> Result<(), String> {
    let Some(saved) = saved else {
        return match norm.training.is_enabled() {
            true => Err("no running statistics, which batch_norm = \"conversation\" needs".into()),
            false => Ok(()),
        };
    };
    let RunningStatistics { running_mean, running_var, num_batches_tracked } = saved;
    if !norm.training.is_enabled() {
        return Err("running statistics, which batch_norm = \"stored\" does not change".into());
    }
    for (running, saved) in
        [(&mut norm.running_mean, running_mean), (&mut norm.running_var, running_var)]
    {
        let [channels] = running.lazy_shape().dims();
        if saved.len() != channels {
            return Err(format!("{} running statistics, expected {channels}", saved.len()));
        }
        *running = running
            .clone()
            .map(|old| Tensor::from_data(TensorData::new(saved, [channels]), &old.device()));
    }
    norm.num_batches_tracked =
        norm.num_batches_tracked.clone().map(|old| old.full_like(num_batches_tracked));
    Ok(())
}
