//! Names as other programs write them, taken back to those of published files.

use std::collections::BTreeSet;

use super::layout::Tensors;
use super::native;

/// Parts of a name that `torch.compile`, FSDP and activation checkpointing put anywhere into it.
const WRAPPERS: [&str; 3] = ["_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."];
/// What DDP, PEFT, modules around the model and training scripts put in front of every name.
const PREFIXES: [&str; 5] =
    ["module.", "base_model.model.", "model.", "state_dict.", "model_state_dict."];
/// What PEFT puts around the language model, where published files have it if LoRA is separate.
const PEFT: &str = "language_model.base_model.model.";

/// The tensors by their published names, and a line for each kind of name that was changed.
///
/// # Errors
/// Two tensors of one name, adapters of which not one is meant, and adapters that are not there.
pub(super) fn to_published(mut tensors: Tensors) -> Result<(Tensors, Vec<String>), String> {
    let mut notes = Vec::new();
    for wrapper in WRAPPERS {
        if tensors.keys().any(|name| name.contains(wrapper)) {
            tensors = rename(tensors, |name| name.replace(wrapper, ""))?;
            notes.push(format!("tensors are named without `{wrapper}`"));
        }
    }
    let shared = |tensors: &Tensors| {
        let mut prefixes = PREFIXES.into_iter().filter(|_| !tensors.is_empty());
        prefixes.find(|prefix| tensors.keys().all(|name| name.starts_with(prefix)))
    };
    while let Some(prefix) = shared(&tensors) {
        tensors = rename(tensors, |name| name[prefix.len()..].to_string())?;
        notes.push(format!("tensors are named without `{prefix}`, which all of them had"));
    }
    let has_native = tensors.keys().any(|name| native::is_native(name));
    tensors =
        rename(tensors, |name| native::to_published(&name.replacen(PEFT, "language_model.", 1)))?;
    if has_native {
        native::join_qkv(&mut tensors)?;
        notes.push("tensors are named as transformers names them".into());
    }
    Ok((name_adapters(tensors)?, notes))
}

pub(super) fn rename(
    tensors: Tensors,
    new_name: impl Fn(&str) -> String,
) -> Result<Tensors, String> {
    let mut renamed = Tensors::new();
    for (name, mut tensor) in tensors {
        tensor.name = new_name(&name);
        if let Some(other) = renamed.insert(tensor.name.clone(), tensor) {
            return Err(format!("two tensors are {}: one of them is {name}", other.name));
        }
    }
    Ok(renamed)
}

/// The names that PEFT gives a language model whose one adapter is called `default`.
pub(super) fn name_adapters(tensors: Tensors) -> Result<Tensors, String> {
    let adapters: BTreeSet<_> = tensors.keys().filter_map(|name| adapter_of(name)).collect();
    let has_bases = || tensors.keys().find(|name| name.contains(".base_layer."));
    match (adapters.len(), has_bases()) {
        (0, None) => return Ok(tensors),
        (0, Some(name)) => {
            return Err(format!(
                "{name} is made for an adapter, but there is no lora_A and lora_B"
            ));
        }
        (1, _) => {}
        _ => {
            return Err(format!(
                "expected one adapter, found {}; merge the one that is meant with PEFT",
                Vec::from_iter(adapters).join(", ")
            ));
        }
    }
    rename(tensors, |name| {
        let name = match adapter_of(name) {
            None => name.to_string(),
            Some(_) => match name.split_once(".lora_A.") {
                Some((layer, _)) => format!("{layer}.lora_A.default.weight"),
                None => {
                    let layer = name.split(".lora_B.").next().unwrap_or(name);
                    format!("{layer}.lora_B.default.weight")
                }
            },
        };
        name.strip_prefix("language_model.").map(|rest| format!("{PEFT}{rest}")).unwrap_or(name)
    })
}

/// The name of the adapter that a factor belongs to: `default` in `….lora_A.default.weight`.
pub(super) fn adapter_of(name: &str) -> Option<&str> {
    let (_, rest) = name.split_once(".lora_A.").or_else(|| name.split_once(".lora_B."))?;
    Some(rest.strip_suffix("weight")?.strip_suffix('.').unwrap_or("default"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;
    use burn_store::bridge;

    fn published(names: &[&str]) -> Result<Vec<String>, String> {
        let tensor = |name: &&str| {
            let data = TensorData::from([[1f32, 2.0]]);
            (name.to_string(), bridge::from_data(data, name.to_string(), None))
        };
        let (tensors, _) = to_published(names.iter().map(tensor).collect())?;
        assert!(tensors.iter().all(|(name, tensor)| *name == tensor.name));
        Ok(tensors.into_keys().collect())
    }

    #[test]
    fn wrappers_and_shared_prefixes_are_taken_off() {
        let expected = ["language_model.lm_head.weight", "mlp1.0.weight"];
        for names in [
            ["module.language_model.lm_head.weight", "module.mlp1.0.weight"],
            ["state_dict.module.language_model.lm_head.weight", "state_dict.module.mlp1.0.weight"],
            ["language_model._orig_mod.lm_head.weight", "mlp1._orig_mod.0.weight"],
            ["base_model.model.language_model.lm_head.weight", "base_model.model.mlp1.0.weight"],
        ] {
            assert_eq!(published(&names).unwrap(), expected);
        }
        let one_of_two = ["module.mlp1.0.weight", "mlp1.1.weight"];
        assert_eq!(published(&one_of_two).unwrap(), ["mlp1.1.weight", "module.mlp1.0.weight"]);
        let error = published(&["mlp1.0.weight", "mlp1._orig_mod.0.weight"]).unwrap_err();
        assert!(error.contains("mlp1.0.weight"), "{error}");
    }

    #[test]
    fn one_adapter_of_any_name_is_the_published_one() {
        let layer = "language_model.model.layers.0.mlp.up_proj";
        let expected = "language_model.base_model.model.model.layers.0.mlp.up_proj";
        for adapter in ["", "default.", "stage2."] {
            let [base, a, b] = ["base_layer.", "lora_A.", "lora_B."].map(|kind| {
                let adapter = if kind == "base_layer." { "" } else { adapter };
                format!("base_model.model.{layer}.{kind}{adapter}weight")
            });
            let expected = ["base_layer", "lora_A.default", "lora_B.default"]
                .map(|kind| format!("{expected}.{kind}.weight"));
            assert_eq!(published(&[&base, &a, &b]).unwrap(), expected);
        }
        let [one, two] = ["one", "two"].map(|name| format!("{layer}.lora_A.{name}.weight"));
        assert!(published(&[&one, &two]).unwrap_err().contains("one, two"));
        assert!(published(&[&format!("{layer}.base_layer.weight")]).is_err());
    }
}
