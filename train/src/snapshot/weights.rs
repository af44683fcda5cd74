//! The trained weights of a model as arrays by their checkpoint names, and back.

use std::collections::{BTreeMap, HashMap};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use mllmseg_model::Mllmseg;
use mllmseg_model::checkpoint::names::NameTable;

use crate::trainable::ModulePath;

/// Every weight that records gradients, in the layout and dtype of the model's memory; waits for
/// the device.
///
/// # Errors
/// The path of a weight that the table has no name for.
pub fn trained_weights(
    model: &Mllmseg,
    table: &NameTable,
) -> Result<Vec<(String, TensorData)>, String> {
    struct Collector<'a> {
        names: HashMap<&'a str, &'a str>,
        path: ModulePath,
        found: Vec<(String, TensorData)>,
        nameless: Option<String>,
    }

    impl ModuleVisitor for Collector<'_> {
        fn enter_module(&mut self, name: &str, container_type: &str) {
            self.path.enter(name, container_type);
        }

        fn exit_module(&mut self, _name: &str, container_type: &str) {
            self.path.exit(container_type);
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if !param.is_require_grad() {
                return;
            }
            let path = self.path.joined();
            match self.names.get(path.as_str()) {
                Some(name) => self.found.push((name.to_string(), param.val().inner().to_data())),
                None => self.nameless = Some(path),
            }
        }
    }

    let mut collector = Collector {
        names: table.names(),
        path: ModulePath::default(),
        found: Vec::new(),
        nameless: None,
    };
    model.visit(&mut collector);
    match collector.nameless {
        Some(path) => Err(format!("no checkpoint name for {path}")),
        None => Ok(collector.found),
    }
}

/// The model with its trained weights replaced.
///
/// # Errors
/// What is missing, left over or of another shape.
pub fn with_weights(
    model: Mllmseg,
    arrays: BTreeMap<String, TensorData>,
    table: &NameTable,
) -> Result<Mllmseg, String> {
    struct Replacement<'a> {
        names: HashMap<&'a str, &'a str>,
        arrays: BTreeMap<String, TensorData>,
        path: ModulePath,
        problem: Option<String>,
    }

    impl ModuleMapper for Replacement<'_> {
        fn enter_module(&mut self, name: &str, container_type: &str) {
            self.path.enter(name, container_type);
        }

        fn exit_module(&mut self, _name: &str, container_type: &str) {
            self.path.exit(container_type);
        }

        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if !param.is_require_grad() {
                return param;
            }
            let path = self.path.joined();
            let name = self.names.get(path.as_str()).copied().unwrap_or(path.as_str());
            let Some(array) = self.arrays.remove(name) else {
                self.problem = Some(format!("{name} is trained, but not in the file"));
                return param;
            };
            let shape = param.lazy_shape();
            if array.shape().as_slice() != shape.as_slice() {
                let found = array.shape();
                self.problem = Some(format!("{name} should be {shape:?}, found {found:?}"));
                return param;
            }
            param.map(|weight| {
                let (device, dtype) = (weight.device().without_autodiff(), weight.dtype());
                Tensor::from_data(array, (&device, dtype)).autodiff().require_grad()
            })
        }
    }

    let mut replacement =
        Replacement { names: table.names(), arrays, path: ModulePath::default(), problem: None };
    let model = model.map(&mut replacement);
    match replacement.problem {
        Some(problem) => Err(problem),
        None => match replacement.arrays.keys().next() {
            Some(name) => Err(format!("{name} is in the file, but not trained by this recipe")),
            None => Ok(model),
        },
    }
}
