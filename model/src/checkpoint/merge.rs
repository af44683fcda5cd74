//! LoRA merged into the base, from files to files: no model is built, and memory holds one layer.

use std::path::Path;

use burn::tensor::{DType, Device, Tensor};
use burn_pack::Tensor as PackTensor;
use burn_store::bridge;

use super::adapter::Adapter;
use super::error::CheckpointError;
use super::files::WeightFiles;
use super::names::NameTable;
use super::save::{Written, write_in_layout};
use crate::config::{Layout, MllmsegConfig};
use crate::lora::LoraConfig;

/// What was merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergeReport {
    /// Rank of the adapters.
    pub rank: usize,
    /// Layers that had one.
    pub adapters: usize,
    /// What was written.
    pub written: Written,
}

/// Writes the weights with every adapter merged, `W + alpha / r · B A`, under the names that a model
/// without LoRA has in `layout` (`language_model.model…`, no `base_layer`).
///
/// `alpha / r` is that of [`WeightFiles::adapter`]. Sums are in f32; each tensor
/// keeps the dtype it has on disk, and those without adapter keep their bytes. `config.json` and
/// other files are not written here.
///
/// # Errors
/// [`CheckpointError::NoLora`] without separate adapters, [`CheckpointError::Mismatch`] naming the
/// tensors that do not fit `config`, and [`CheckpointError::Io`].
pub fn merge_weights(
    mut files: WeightFiles,
    config: &MllmsegConfig,
    layout: Layout,
    dir: &Path,
    max_shard_bytes: u64,
    device: &Device,
) -> Result<MergeReport, CheckpointError> {
    let source = files.dir().to_path_buf();
    let Some(Adapter { lora, .. }) = files.adapter() else {
        return Err(CheckpointError::NoLora { dir: source });
    };
    let (separate, merged) = (NameTable::new(config, true), NameTable::new(config, false));
    let mut misfits = separate.misfits(&mut files, config)?;
    let (mut left, is_tied) = files.into_stored();

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
        let mut factor =
            |which: &str| left.remove(*on_disk.get(format!("{layer}.lora.{which}").as_str())?);
        if let (Some(a), Some(b)) = (factor("a"), factor("b")) {
            adapters += 1;
            match merge_layer(tensor, a, b, lora, device) {
                Ok(merged) => tensors.push(merged),
                Err(problem) => misfits.others.push(problem),
            }
        } else {
            tensors.push(tensor);
        }
    }
    misfits.refuse(&source)?;
    tensors.extend(left.into_iter().map(|(name, mut tensor)| {
        tensor.name = name.replacen("language_model.base_model.model.", "language_model.", 1);
        tensor // a derived constant
    }));
    let written = write_in_layout(tensors, is_tied, config, layout, dir, max_shard_bytes)?;
    Ok(MergeReport { rank: lora.rank, adapters, written })
}

/// The weight `[out, in]` with its adapter as it is on disk, `a` `[r, in]` and `b` `[out, r]`,
/// computed when it is written.
fn merge_layer(
    weight: PackTensor,
    a: PackTensor,
    b: PackTensor,
    lora: LoraConfig,
    device: &Device,
) -> Result<PackTensor, String> {
    let rank = lora.rank;
    let name = weight.name.clone();
    let [w, fa, fb] = [&weight, &a, &b].map(|tensor| tensor.shape.to_vec());
    if !matches!(w[..], [d_output, d_input] if fa == [rank, d_input] && fb == [d_output, rank]) {
        return Err(format!(
            "tensor {name}: expected [out, in] with factors [{rank}, in] and [out, {rank}], \
             found {w:?} with {fa:?} and {fb:?}"
        ));
    }
    let dtypes = [weight.dtype, a.dtype, b.dtype];
    if !dtypes.iter().all(DType::is_float) {
        return Err(format!("tensor {name}: expected floats with float factors, found {dtypes:?}"));
    }
    let (dtype, shape, device) = (weight.dtype, weight.shape.clone(), device.clone());
    let scale = lora.scale();
    Ok(bridge::deferred(name, dtype, shape, None, move || {
        let read = |tensor: &PackTensor| {
            let data = bridge::to_data(tensor)?;
            Ok::<_, burn_pack::Error>(Tensor::<2>::from_data(data, (&device, DType::F32)))
        };
        let update = read(&b)?.matmul(read(&a)?) * scale; // [out, in]
        Ok((read(&weight)? + update).into_data().convert_dtype(dtype))
    }))
}
