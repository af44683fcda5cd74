//! Named arrays on their way to a safetensors file.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{DType, Tensor};
use mllmseg::model::checkpoint::CheckpointError;
use mllmseg::model::checkpoint::write::write_safetensors;
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
        self.arrays
            .insert(name.to_string(), Array::F32(values, shape));
    }

    pub(super) fn ints(&mut self, name: &str, values: Vec<i32>, shape: Vec<usize>) {
        self.arrays
            .insert(name.to_string(), Array::I32(values, shape));
    }

    /// Writes a safetensors file, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), CheckpointError> {
        let views = self
            .arrays
            .iter()
            .map(|(name, array)| (name.clone(), array));
        write_safetensors(views.collect(), path)
    }
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
