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
    /// The values of the parameter at hand; none where the file has none, or other ones.
    fn take<const D: usize, K: Basic>(
        &mut self,
        expected: Shape,
        kind: Kind,
        device: &Device,
    ) -> Option<Tensor<D, K>> {
        let path = self.path.joined();
        let tensor = self.tensors.remove(&path)?;
        let values = values(tensor, &path, expected, kind, device);
        let name = self.names.get(path.as_str()).copied().unwrap_or(&path);
        values.map_err(|problem| self.problems.push(format!("tensor {name}: {problem}"))).ok()
    }
}

/// The values of the parameter at `path`, or why the tensor is not of it.
fn values<const D: usize, K: Basic>(
    tensor: PackTensor,
    path: &str,
    expected: Shape,
    kind: Kind,
    device: &Device,
) -> Result<Tensor<D, K>, String> {
    let (dtype, rank) = (tensor.dtype, tensor.shape.len());
    if !(kind.has)(dtype) {
        return Err(format!("expected a dtype of kind {}, found {dtype:?}", kind.name));
    }
    let is_turned = stays_in_file_order(path, rank, dtype, device);
    let turn_if = |condition: bool, mut shape: Shape| {
        if condition {
            shape.reverse();
        }
        shape
    };
    let shape = turn_if(is_turned, tensor.shape.clone());
    if shape != expected {
        let is_stored_turned = is_stored_transposed(path, rank);
        let [expected, found] =
            [expected, shape].map(|shape| turn_if(is_stored_turned, shape).to_vec());
        return Err(format!("expected shape {expected:?}, found {found:?}"));
    }
    let data = bridge::into_data(tensor).map_err(|error| error.to_string())?;
    let values = Tensor::from_data(data, (device, dtype));
    Ok(if is_turned { values.swap_dims(0, 1) } else { values })
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
        match self.take(param.lazy_shape(), FLOAT, &param.lazy_device()) {
            Some(values) => param.transform_for_load(values, id),
            None => param,
        }
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        let id = param.id;
        match self.take(param.lazy_shape(), INT, &param.lazy_device()) {
            Some(values) => param.transform_for_load(values, id),
            None => param,
        }
    }
}
