//! LoRA folded into the base, from files to files: no model is built, and memory holds one layer.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_pack::{Error as PackError, Tensor as PackTensor};
use burn_store::bridge;

use super::names::{NameTable, is_derived_constant};
use super::save::write_shards;
use super::{CheckpointError, WeightFiles};
use crate::config::MllmsegConfig;
use crate::lora::LoraConfig;

/// What was folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergeReport {
    /// Rank of the adapters.
    pub rank: usize,
    /// Layers that had one.
    pub adapters: usize,
    /// Tensors written.
    pub tensors: usize,
    /// Bytes of them.
    pub bytes: usize,
}

/// Writes the weights with every adapter folded in, `W + alpha / r · B A`, under the names that the
/// published Python code gives a model without LoRA (`language_model.model…`, no `base_layer`).
///
/// `alpha / r` is that of [`LoraConfig::published`], as everywhere. Sums are in f32; each tensor
/// keeps the dtype it has on disk, and those without adapter keep their bytes. `config.json` and
/// other files are not written here.
///
/// # Errors
/// [`CheckpointError::NoLora`] without separate adapters, [`CheckpointError::Mismatch`] naming every
/// tensor that does not fit `config`, and [`CheckpointError::Io`].
pub fn merge_weights(
    files: WeightFiles,
    config: &MllmsegConfig,
    dir: &Path,
    max_shard_bytes: usize,
    device: &Device,
) -> Result<MergeReport, CheckpointError> {
    let source = files.dir().to_path_buf();
    let rank = files.lora_rank().ok_or_else(|| CheckpointError::NoLora { dir: source.clone() })?;
    let separate = NameTable::new(config, true);
    let has_decoder = files.has_mask_decoder();
    let mut left = files.into_tensors();
    let mut problems = check_names(&left, &separate, has_decoder);

    let merged = NameTable::new(config, false);
    let (on_disk, new_names) = (separate.names(), merged.names());
    let mut tensors = Vec::new();
    let mut adapters = 0;
    for (name, path) in separate.pairs() {
        let Some(new_name) = new_names.get(path.as_str()) else {
            continue; // a factor, which goes with its weight
        };
        let Some(mut tensor) = left.remove(name) else {
            continue; // a problem already
        };
        tensor.name = new_name.to_string();
        let layer = path.strip_suffix(".weight").unwrap_or(path);
        let mut factor = |which: &str| {
            on_disk
                .get(format!("{layer}.lora.{which}").as_str())
                .and_then(|name| left.remove(*name))
        };
        if let (Some(a), Some(b)) = (factor("a"), factor("b")) {
            match fold(tensor, Factors { a, b }, rank, device) {
                Ok(folded) => tensors.push(folded),
                Err(problem) => problems.push(problem),
            }
            adapters += 1;
        } else {
            tensors.push(tensor);
        }
    }
    if !problems.is_empty() {
        problems.sort();
        return Err(CheckpointError::Mismatch { dir: source, problems });
    }
    tensors.extend(left.into_iter().map(|(name, mut tensor)| {
        tensor.name = name.replacen("language_model.base_model.model.", "language_model.", 1);
        tensor // a derived constant
    }));
    let bytes = tensors.iter().map(PackTensor::byte_len).sum();
    let report = MergeReport { rank, adapters, tensors: tensors.len(), bytes };
    write_shards(tensors, dir, max_shard_bytes)?;
    Ok(report)
}

/// Tensors that are missing, and tensors that the configuration has no place for.
fn check_names(
    tensors: &BTreeMap<String, PackTensor>,
    table: &NameTable,
    has_decoder: bool,
) -> Vec<String> {
    let known = table.paths();
    let needed = |name: &str| has_decoder || !name.starts_with("res_decoder.");
    let missing = table
        .pairs()
        .iter()
        .filter(|(name, _)| needed(name) && !tensors.contains_key(name))
        .map(|(name, _)| format!("missing tensor {name}"));
    let unexpected = tensors
        .keys()
        .filter(|name| !known.contains_key(name.as_str()) && !is_derived_constant(name))
        .map(|name| format!("unexpected tensor {name}: this configuration has no such weight"));
    missing.chain(unexpected).collect()
}

/// A layer's adapter as it is on disk: `a` `[r, in]`, `b` `[out, r]`.
struct Factors {
    a: PackTensor,
    b: PackTensor,
}

/// The weight `[out, in]` with its adapter, computed when the writer comes to it.
fn fold(
    weight: PackTensor,
    factors: Factors,
    rank: usize,
    device: &Device,
) -> Result<PackTensor, String> {
    let Factors { a, b } = factors;
    let name = weight.name.clone();
    let [w, fa, fb] = [&weight, &a, &b].map(|tensor| tensor.shape.to_vec());
    let fits = match *w.as_slice() {
        [d_output, d_input] => fa == [rank, d_input] && fb == [d_output, rank],
        _ => false,
    };
    if !fits {
        return Err(format!(
            "tensor {name}: expected [out, in] with factors [{rank}, in] and [out, {rank}], \
             found {w:?} with {fa:?} and {fb:?}"
        ));
    }
    if [&weight, &a, &b].iter().any(|tensor| !tensor.dtype.is_float()) {
        let found = [weight.dtype, a.dtype, b.dtype];
        return Err(format!("tensor {name}: expected floats with float factors, found {found:?}"));
    }
    let (dtype, shape, device) = (weight.dtype, weight.shape.clone(), device.clone());
    let lora = LoraConfig::published(rank);
    let scale = lora.alpha / lora.rank as f64;
    Ok(bridge::deferred(name, dtype, shape, None, move || {
        let read = |tensor: &PackTensor| read_f32(tensor, &device);
        let update = read(&b)?.matmul(read(&a)?) * scale; // [out, in]
        Ok((read(&weight)? + update).into_data().convert_dtype(dtype))
    }))
}

fn read_f32(tensor: &PackTensor, device: &Device) -> Result<Tensor<2>, PackError> {
    let data = TensorData::try_from_bytes(tensor.to_bytes()?, tensor.shape.clone(), tensor.dtype)
        .map_err(|error| PackError::ValidationError(error.to_string()))?;
    Ok(Tensor::from_data(data, (device, DType::F32)))
}
