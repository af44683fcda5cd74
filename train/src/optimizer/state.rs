//! The memory of the optimizer under the names of the checkpoint, for snapshots.
//!
//! Paths in the modules may change with the code; names in published files do not.

use std::collections::{BTreeMap, HashMap};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use mllmseg_model::checkpoint::names::NameTable;
use thiserror::Error;

use super::{AdamW, AdamWConfig, Moments};
use crate::trainable::ModulePath;

/// What the optimizer remembers of one weight, on the host.
///
/// The arrays are flat f32, in the element order of the module: for the matrix of a linear layer
/// that is `[in, out]`, the transpose of what the checkpoint stores.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedMoments {
    /// Updates so far.
    pub step: u32,
    /// Running mean of gradients.
    pub mean: TensorData,
    /// Running mean of squared gradients.
    pub square: TensorData,
    /// The weight in f32 when the model holds it in fewer bits.
    pub master: Option<TensorData>,
}

/// Why a memory does not fit a model.
#[derive(Debug, Error, PartialEq)]
pub enum StateError {
    /// A name that the checkpoint of this configuration does not have.
    #[error(
        "optimizer state: {name} is no weight of this model; take the state that was saved with it"
    )]
    Unknown {
        /// The name, or the path where there is no name.
        name: String,
    },
    /// An array of another size than the weight.
    #[error(
        "optimizer state: {array} of {name} should have {expected} values, found {found}; take the \
         state that was saved with this model"
    )]
    Size {
        /// Name of the weight.
        name: String,
        /// Which of the arrays.
        array: &'static str,
        /// Elements of the weight.
        expected: usize,
        /// Elements of the array.
        found: usize,
    },
}

impl AdamW {
    /// Everything it remembers, by the names of the checkpoint; waits for the device.
    ///
    /// # Errors
    /// [`StateError::Unknown`] for a weight that the table has no name for.
    pub fn save(&self, table: &NameTable) -> Result<BTreeMap<String, SavedMoments>, StateError> {
        let names = table.names();
        let saved = self.moments.iter().map(|(path, moments)| {
            let name = names
                .get(path.as_str())
                .ok_or_else(|| StateError::Unknown { name: path.clone() })?;
            let saved = SavedMoments {
                step: moments.step,
                mean: moments.mean.to_data(),
                square: moments.square.to_data(),
                master: moments.master.as_ref().map(|master| master.to_data()),
            };
            Ok((name.to_string(), saved))
        });
        saved.collect()
    }

    /// An optimizer that goes on where [`AdamW::save`] was called, with its state on the devices
    /// of the model's weights.
    ///
    /// # Errors
    /// [`StateError`] for the first weight that is not in the model or has another size.
    pub fn restore<M: Module>(
        config: AdamWConfig,
        saved: BTreeMap<String, SavedMoments>,
        model: &M,
        table: &NameTable,
    ) -> Result<Self, StateError> {
        let paths = table.paths();
        let mut weights = Weights::default();
        model.visit(&mut weights);
        let mut moments = HashMap::new();
        for (name, saved) in saved {
            let place = paths
                .get(name.as_str())
                .and_then(|path| Some((path.to_string(), weights.found.get(*path)?)));
            let Some((path, (elements, device))) = place else {
                return Err(StateError::Unknown { name });
            };
            let array = |array: &'static str, data: TensorData| {
                let found = data.num_elements();
                if found != *elements {
                    return Err(StateError::Size {
                        name: name.clone(),
                        array,
                        expected: *elements,
                        found,
                    });
                }
                let flat: Vec<f32> = data.iter::<f32>().collect();
                let data = TensorData::new(flat, [found]);
                Ok(Tensor::<1>::from_data(data, (device, DType::F32)))
            };
            let restored = Moments {
                step: saved.step,
                mean: array("the mean", saved.mean)?,
                square: array("the mean square", saved.square)?,
                master: saved.master.map(|master| array("the f32 copy", master)).transpose()?,
            };
            moments.insert(path, restored);
        }
        Ok(Self { config, moments })
    }
}

/// Elements and device of every float weight, by path.
#[derive(Default)]
struct Weights {
    path: ModulePath,
    found: HashMap<String, (usize, Device)>,
}

impl ModuleVisitor for Weights {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let elements = param.lazy_shape().num_elements();
        let device = param.lazy_device().without_autodiff();
        self.found.insert(self.path.joined(), (elements, device));
    }
}
