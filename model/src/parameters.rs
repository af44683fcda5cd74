//! Counting parameters without creating them.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// Number of trainable values of a module, as PyTorch's `sum(p.numel())` counts them: running
/// statistics are buffers and do not count. Parameters that are not drawn yet stay so.
pub fn parameter_count<M: Module>(module: &M) -> usize {
    let mut counter = Counter::default();
    module.visit(&mut counter);
    counter.count
}

#[derive(Default)]
struct Counter {
    count: usize,
    path: Vec<String>,
}

impl ModuleVisitor for Counter {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let is_buffer = self.path.last().is_some_and(|name| name.starts_with("running_"));
        if !is_buffer {
            self.count += param.lazy_shape().num_elements();
        }
    }
}
