//! A base with the factors of an adapter that PEFT saved alone.

use std::collections::BTreeSet;

use burn::tensor::TensorData;
use burn_pack::Tensor as PackTensor;
use burn_store::bridge;

use super::aliases::{adapter_of, name_adapters, rename};
use super::layout::Tensors;
use super::native;
use super::targets::Targets;

/// Where the blocks of the language model are.
const BLOCKS: &str = "language_model.model.layers.";

/// The names of one checkpoint with separate LoRA. Layers that the adapter does not change get factors
/// of zeros.
///
/// # Errors
/// What else the adapter's file holds, layers that the base does not have, layers of which only the
/// file or only `targets` knows, and what [`name_adapters`] refuses.
pub(super) fn with_factors(
    base: Tensors,
    factors: Tensors,
    targets: &Targets,
) -> Result<Tensors, String> {
    let first = factors.keys().next().cloned().unwrap_or_default();
    let factors = rename(factors, |name| {
        let name = name.strip_prefix("base_model.model.").unwrap_or(name);
        match name.strip_prefix("model.").unwrap_or(name) {
            of_blocks if of_blocks.starts_with("layers.") => {
                format!("language_model.model.{of_blocks}") // made for the language model alone
            }
            _ => native::to_published(name),
        }
    })?;
    if let Some(name) = factors.keys().find(|name| adapter_of(name).is_none()) {
        return Err(format!(
            "expected lora_A and lora_B, found {name}; merge the adapter with PEFT"
        ));
    }
    let layer_of = |name: &str| name.split(".lora_").next().unwrap_or(name).to_string();
    let layers: BTreeSet<_> = factors.keys().map(|name| layer_of(name)).collect();
    let has = |layer: &String| base.contains_key(&format!("{layer}.weight"));
    if let Some(layer) = layers.iter().find(|layer| !layer.starts_with(BLOCKS) || !has(layer)) {
        return Err(format!(
            "{layer}: expected a layer of the language model of this base; other adapters are merged with \
             PEFT, and `mllmseg convert` gives a base the names of the other layout"
        ));
    }
    let Some(rank) = factors.values().find_map(|factor| factor.shape.first().copied()) else {
        return Err("expected lora_A and lora_B, found no tensor".into());
    };
    // The path of the blocks in the model that PEFT wrapped, which patterns are about.
    let place = first.strip_prefix("base_model.model.").unwrap_or(&first);
    let place = place.split_once("layers.").map_or("", |(place, _)| place);
    let linears =
        base.iter().filter(|(name, weight)| name.starts_with(BLOCKS) && weight.shape.len() == 2);
    let linears: BTreeSet<_> =
        linears.filter_map(|(name, _)| Some(name.strip_suffix(".weight")?.to_string())).collect();
    let mut added = factors;
    for layer in &linears {
        let path = &layer[BLOCKS.len()..];
        let block = path.split('.').next().and_then(|block| block.parse().ok());
        let is_target = targets.contain(&format!("{place}layers.{path}"), block)?;
        if is_target != layers.contains(layer) {
            let (says, has) = if is_target { ("has", "lacks") } else { ("lacks", "has") };
            return Err(format!(
                "{layer}: adapter_config.json {says} it among its target_modules, and the adapter's file \
                 {has} it; save the adapter again"
            ));
        }
        if let (false, Some(weight)) = (is_target, base.get(&format!("{layer}.weight"))) {
            added.extend(zero_factors(layer, weight, rank));
        }
    }
    let mut whole = rename(base, |name| match name.rsplit_once('.') {
        Some((layer, leaf)) if linears.contains(layer) => format!("{layer}.base_layer.{leaf}"),
        _ => name.to_string(),
    })?;
    whole.extend(added);
    name_adapters(whole)
}

fn zero_factors(layer: &str, weight: &PackTensor, rank: usize) -> [(String, PackTensor); 2] {
    let zeros = |which: &str, shape: [usize; 2]| {
        let name = format!("{layer}.lora_{which}.weight");
        let data = TensorData::zeros::<f32, _>(shape);
        (name.clone(), bridge::from_data(data, name, None))
    };
    [zeros("A", [rank, weight.shape[1]]), zeros("B", [weight.shape[0], rank])]
}
