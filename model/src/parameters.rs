//! Counting parameters without creating them.

use burn::module::Module;

use crate::checkpoint::named_weights::for_each_weight;

/// Number of trainable values of a module, as PyTorch's `sum(p.numel())` counts them: running
/// statistics are buffers and do not count. Parameters that are not drawn yet stay so.
pub fn parameter_count(module: &impl Module) -> usize {
    let mut count = 0;
    for_each_weight(module, |path, weight| {
        if !is_running_statistic(path) {
            count += weight.shape().num_elements();
        }
    });
    count
}

/// Whether a path is that of a running mean or variance of a batch norm.
pub fn is_running_statistic(path: &str) -> bool {
    path.rsplit('.').next().is_some_and(|leaf| leaf.starts_with("running_"))
}
