//! The optimizer state under the names of the checkpoint, as snapshots hold it.
//!
//! Paths in the modules may change with the code; names in published files do not.

use std::collections::{BTreeMap, HashMap};

use burn::module::Module;
use burn::tensor::{DType, Tensor, TensorData};
use mllmseg_model::checkpoint::named_weights::{Weight, for_each_weight};
use mllmseg_model::checkpoint::names::NameTable;
use thiserror::Error;

use super::{AdamW, WeightState};

/// The state on the host.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SavedState {
    /// Updates of each weight so far, by its name.
    pub updates: BTreeMap<String, u32>,
    /// `NAME.exp_avg`, `NAME.exp_avg_sq` and, for weights below f32, `NAME.master`.
    ///
    /// Flat f32, in the element order of the module: for the matrix of a linear layer that is
    /// `[in, out]`, the transpose of what the checkpoint stores.
    pub arrays: BTreeMap<String, TensorData>,
}

/// Why a state does not fit a model.
#[derive(Debug, Error, PartialEq)]
#[expect(missing_docs, reason = "each message says what is wrong and what its fields hold")]
pub enum StateError {
    #[error("the optimizer state has {0}, which is not a weight of this model")]
    Unknown(String),
    #[error("the optimizer state lacks {0}, although the weight was updated")]
    Missing(String),
    #[error("the optimizer state should have {expected} values of {name}, found {found}")]
    Size { name: String, expected: usize, found: usize },
}

impl AdamW {
    /// Its state by the names of the checkpoint; waits for the device.
    ///
    /// # Errors
    /// [`StateError::Unknown`] for a weight that the table has no name for.
    pub fn save(&self, table: &NameTable) -> Result<SavedState, StateError> {
        let names = table.names();
        let mut saved = SavedState::default();
        for (path, state) in &self.states {
            let unknown = || StateError::Unknown(path.clone());
            let name = names.get(path.as_str()).ok_or_else(unknown)?;
            saved.updates.insert(name.to_string(), state.step);
            let moments = [("exp_avg", &state.exp_avg), ("exp_avg_sq", &state.exp_avg_sq)];
            let master = state.master.iter().map(|master| ("master", master));
            for (array, values) in moments.into_iter().chain(master) {
                saved.arrays.insert(format!("{name}.{array}"), values.to_data());
            }
        }
        Ok(saved)
    }

    /// The optimizer in the state that [`AdamW::save`] gave, on the devices of the model's weights.
    ///
    /// # Errors
    /// [`StateError`] for a weight that is not in the model, lacks an array or has another size.
    pub fn restore(
        self,
        mut saved: SavedState,
        model: &impl Module,
        table: &NameTable,
    ) -> Result<Self, StateError> {
        let names = table.names();
        let mut states = HashMap::new();
        let mut restored = Ok(());
        for_each_weight(model, |path, weight| {
            let name = names.get(path).copied().unwrap_or(path);
            let Some(step) = saved.updates.remove(name) else { return };
            match saved.take(name, step, weight) {
                Ok(state) => drop(states.insert(path.to_string(), state)),
                Err(error) => restored = Err(error),
            }
        });
        restored?;
        match saved.updates.into_keys().chain(saved.arrays.into_keys()).next() {
            Some(name) => Err(StateError::Unknown(name)),
            None => Ok(Self { states, ..self }),
        }
    }
}

impl SavedState {
    /// The state of one weight. Version 0.1.0 wrote `mean` and `square` for the moments.
    fn take(
        &mut self,
        name: &str,
        step: u32,
        weight: &dyn Weight,
    ) -> Result<WeightState, StateError> {
        let (expected, device) = (weight.shape().num_elements(), weight.device());
        let mut take = |array: &str, old_array: &str| {
            let old = self.arrays.remove(&format!("{name}.{old_array}"));
            let name = format!("{name}.{array}");
            let Some(data) = self.arrays.remove(&name).or(old) else { return Ok(None) };
            let values: Vec<f32> = data.iter::<f32>().collect();
            let found = values.len();
            if found != expected {
                return Err(StateError::Size { name, expected, found });
            }
            let data = TensorData::new(values, [found]);
            Ok(Some(Tensor::from_data(data, (&device, DType::F32))))
        };
        let missing = |array: &str| StateError::Missing(format!("{name}.{array}"));
        Ok(WeightState {
            step,
            exp_avg: take("exp_avg", "mean")?.ok_or_else(|| missing("exp_avg"))?,
            exp_avg_sq: take("exp_avg_sq", "square")?.ok_or_else(|| missing("exp_avg_sq"))?,
            master: take("master", "master")?,
        })
    }
}
