//! What is checked.

use std::path::Path;

use burn::tensor::DType;

use super::reference::Reference;
use crate::device::SelectedDevice;

/// A checkpoint, and what it is compared with.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The checkpoint's folder.
    pub dir: &'a Path,
    /// The folder of an adapter for it.
    pub adapter: Option<&'a Path>,
    /// Where it computes.
    pub device: &'a SelectedDevice,
    /// The dtype of vision encoder and language model.
    pub dtype: DType,
    /// What another implementation computed; without it, stages are computed on a drawn picture.
    pub reference: Option<Reference>,
}
