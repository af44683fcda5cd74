//! Named arrays, to be written as a safetensors file.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Element, TensorData};
use mllmseg::model::checkpoint::CheckpointError;
use mllmseg::model::checkpoint::write::{write_json, write_safetensors};

/// Everything a case computes.
#[derive(Debug, Clone, Default)]
pub struct Dump {
    /// By name, in f32 or i32.
    pub arrays: BTreeMap<String, TensorData>,
    /// L2 norm of each trained weight's gradient, by its name in the checkpoint; empty where
    /// nothing was trained.
    pub grad_norms: BTreeMap<String, f64>,
}

impl Dump {
    pub(super) fn array<E: Element, const D: usize>(
        &mut self,
        name: &str,
        values: Vec<E>,
        shape: [usize; D],
    ) {
        self.arrays.insert(name.to_string(), TensorData::new(values, shape));
    }

    /// Writes the arrays as `OUT.safetensors`, and beside it the norms of gradients, if there are
    /// any, as `OUT.grad_norms.json`; each whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), CheckpointError> {
        if !self.grad_norms.is_empty() {
            let norms = serde_json::json!(self.grad_norms);
            write_json(&norms, &path.with_extension("grad_norms.json"))?;
        }
        write_safetensors(self.arrays.clone().into_iter().collect(), path)
    }
}
