//! Quantised weights, told by what they store beside the integers: refused by name.

use std::path::Path;

use super::error::CheckpointError;
use super::layout::Tensors;

/// The end of a tensor's name, and which program writes it.
const MARKS: [(&str, &str); 14] = [
    (".absmax", "bitsandbytes"),
    (".quant_map", "bitsandbytes"),
    (".SCB", "bitsandbytes"),
    (".weight_format", "bitsandbytes"),
    (".qweight", "GPTQ or AWQ"),
    (".qzeros", "GPTQ or AWQ"),
    (".g_idx", "GPTQ"),
    (".weight_scale", "fp8 or compressed-tensors"),
    (".weight_scale_inv", "fp8"),
    (".input_scale", "fp8"),
    (".activation_scale", "fp8"),
    (".weight_packed", "compressed-tensors"),
    (".codebooks", "AQLM"),
    (".W_q", "HQQ"),
];

/// Refuses weights with a mark of quantisation.
pub(super) fn refuse_quantized(path: &Path, tensors: &Tensors) -> Result<(), CheckpointError> {
    let kind = |name: &str| {
        let ended = MARKS.iter().find(|(end, _)| name.ends_with(end)).map(|(_, kind)| *kind);
        ended.or_else(|| name.contains(".quant_state.").then_some("bitsandbytes"))
    };
    match tensors.keys().find_map(|name| Some((name, kind(name)?))) {
        None => Ok(()),
        Some((name, kind)) => Err(CheckpointError::unusable(
            path,
            format!(
                "tensor {name}: expected weights in f32, bf16 or f16, found some quantised by {kind}; \
                 take the model that was not quantised"
            ),
        )),
    }
}
