//! The tensors of files become the parameters of a model.

use std::collections::HashMap;

use burn::module::{ModuleMapper, Param};
use burn::tensor::kind::Basic;
use burn::tensor::{DType, Device, Int, Shape, Tensor};
use burn_pack::Tensor as PackTensor;
use burn_store::bridge;

use super::layout::{is_stored_transposed, stays_in_file_order};
use super::named_weights::ModulePath;

/// Fills the parameters of the module that it maps, one at a time.
pub(super) struct Fill<'a> {
    /// By path, as [`to_module`](super::layout::to_module) makes them.
    pub tensors: HashMap<String, PackTensor>,
    /// Name on disk by path.
    pub names: HashMap<&'a str, &'a str>,
    /// What does not fit, each with its tensor.
    pub problems: Vec<String>,
    pub path: ModulePath,
}

/// The dtypes that the parameters of a kind may have in memory.
struct Kind {
    name: &'static str,
    has: fn(DType) -> bool,
}

const FLOAT: Kind =
    Kind { name: "float", has: |dtype| dtype.is_float() || matches!(dtype, DType::QFloat(_)) };
const INT: Kind = Kind { name: "integer", has: |dtype| dtype.is_int() || dtype.is_uint() };

impl Fill<'_> {
    /// The values of the parameter at hand; none where the file has none or other ones.
    fn values<const D: usize, K: Basic>(
        &mut self,
        expected: Shape,
        kind: Kind,
        device: &Device,
    ) -> Option<Tensor<D, K>> {
        let path = self.path.joined();
        let tensor = self.tensors.remove(&path)?;
        let (mut shape, dtype) = (tensor.shape.clone(), tensor.dtype);
        let is_turned = stays_in_file_order(&path, shape.len(), dtype, device);
        if is_turned {
            shape.reverse();
        }
        let problem = if !(kind.has)(dtype) {
            format!("expected a dtype of kind {}, found {dtype:?}", kind.name)
        } else if shape != expected {
            let on_disk = |shape: Shape| {
                let mut shape = shape.to_vec();
                if is_stored_transposed(&path, shape.len()) {
                    shape.reverse();
                }
                shape
            };
            format!("expected shape {:?}, found {:?}", on_disk(expected), on_disk(shape))
        } else {
            match bridge::into_data(tensor) {
                Ok(data) if is_turned => {
                    return Some(Tensor::from_data(data, (device, dtype)).swap_dims(0, 1));
                }
                Ok(data) => return Some(Tensor::from_data(data, (device, dtype))),
                Err(error) => error.to_string(),
            }
        };
        let name = self.names.get(path.as_str()).copied().unwrap_or(&path);
        self.problems.push(format!("tensor {name}: {problem}"));
        None
    }
}

impl ModuleMapper for Fill<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let id = param.id;
        match self.values(param.lazy_shape(), FLOAT, &param.lazy_device()) {
            Some(values) => param.transform_for_load(values, id),
            None => param,
        }
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        let id = param.id;
        match self.values(param.lazy_shape(), INT, &param.lazy_device()) {
            Some(values) => param.transform_for_load(values, id),
            None => param,
        }
    }
}
