//! Named arrays on their way to a safetensors file.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Tensor};
use mllmseg::model::checkpoint::CheckpointError;
use mllmseg::model::checkpoint::write::{write_json, write_safetensors};
use safetensors::{Dtype, View};

/// Values and shape.
#[derive(Debug, Clone)]
pub enum Array {
    /// 32-bit floats.
    F32(Vec<f32>, Vec<usize>),
    /// 32-bit integers.
    I32(Vec<i32>, Vec<usize>),
}

/// Everything a case computes.
#[derive(Debug, Clone, Default)]
pub struct Dump {
    /// By name.
    pub arrays: BTreeMap<String, Array>,
    /// L2 norm of each trained weight's gradient, by its name in the checkpoint; empty where
    /// nothing was trained.
    pub grad_norms: BTreeMap<String, f64>,
}

impl Array {
    /// The shape.
    pub fn shape(&self) -> &[usize] {
        match self {
            Array::F32(_, shape) | Array::I32(_, shape) => shape,
        }
    }
}

impl Dump {
    pub(super) fn floats<const D: usize>(&mut self, name: &str, x: Tensor<D>) {
        let shape = x.dims().to_vec();
        let values = x.cast(DType::F32).into_data().iter::<f32>().collect();
        self.arrays.insert(name.to_string(), Array::F32(values, shape));
    }

    pub(super) fn ints(&mut self, name: &str, values: Vec<i32>, shape: Vec<usize>) {
        self.arrays.insert(name.to_string(), Array::I32(values, shape));
    }

    /// Writes the arrays as `OUT.safetensors`, and beside it the norms of gradients, if there are
    /// any, as `OUT.grad_norms.json`; each whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), CheckpointError> {
        if !self.grad_norms.is_empty() {
            write_json(&serde_json::json!(self.grad_norms), &grad_norms_path(path))?;
        }
        let views = self.arrays.iter().map(|(name, array)| (name.clone(), array));
        write_safetensors(views.collect(), path)
    }
}

/// `OUT.grad_norms.json` for `OUT.safetensors`, and for `OUT`.
fn grad_norms_path(path: &Path) -> PathBuf {
    let is_suffixed = path.extension().is_some_and(|suffix| suffix == "safetensors");
    let stem = if is_suffixed { path.with_extension("") } else { path.to_path_buf() };
    let mut name = stem.into_os_string();
    name.push(".grad_norms.json");
    name.into()
}

impl View for &Array {
    fn dtype(&self) -> Dtype {
        match self {
            Array::F32(..) => Dtype::F32,
            Array::I32(..) => Dtype::I32,
        }
    }

    fn shape(&self) -> &[usize] {
        Array::shape(self)
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(match self {
            Array::F32(values, _) => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Array::I32(values, _) => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        })
    }

    fn data_len(&self) -> usize {
        4 * self.shape().iter().product::<usize>()
    }
}
