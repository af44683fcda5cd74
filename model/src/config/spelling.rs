//! The `config.json` of other versions and programs, rewritten with the keys and values of published
//! files. What has another meaning, or two, is refused; what a default fills in is told.

use serde_json::{Map, Value, json};

use super::keys::one_name;
use super::native;
use super::rope::one_rope;

/// Sections and their keys with the names that other versions give them.
const ALIASES: [(&str, &str, &[&str]); 6] = [
    ("vision_config", "layer_norm_eps", &["layer_norm_epsilon", "norm_eps"]),
    ("vision_config", "qk_normalization", &["use_qk_norm"]),
    ("vision_config", "qkv_bias", &["attention_bias"]),
    ("llm_config", "rms_norm_eps", &["rms_norm_epsilon", "layer_norm_epsilon", "norm_eps"]),
    ("llm_config", "hidden_act", &["hidden_activation"]),
    ("llm_config", "num_key_value_heads", &["num_kv_heads"]),
];

/// Sizes in pixels, which some versions write as `[height, width]`.
const SIDES: [(&str, &str); 3] =
    [("", "force_image_size"), ("vision_config", "image_size"), ("vision_config", "patch_size")];

/// Other names of the same function.
const SAME_ACTIVATION: [(&str, &str, &str); 2] =
    [("llm_config", "swish", "silu"), ("vision_config", "gelu_python", "gelu")];

/// The defaults that the published code has for keys that are absent or null, by section.
fn defaults() -> Value {
    json!({
        "llm_config": { "hidden_act": "silu", "rope_scaling": null, "tie_word_embeddings": false },
        // The published default of norm and normalisation is another, but every InternViT-300M has
        // these: others have other tensors.
        "vision_config": { "hidden_act": "gelu", "norm_type": "layer_norm", "qk_normalization": false },
        "": { "use_llm_lora": 0 },
    })
}

/// The file in published keys, and a line for each value that it does not have.
pub(super) fn to_published(file: Value) -> Result<(Value, Vec<String>), String> {
    let Value::Object(mut file) = file else {
        return Err("expected a JSON object".into());
    };
    refuse_quantized(&file)?;
    let mut assumed = Vec::new();
    if file.contains_key("text_config") && file.contains_key("llm_config") {
        return Err(
            "text_config: expected one language model, found llm_config as well; remove the one \
                    that is not meant"
                .into(),
        );
    }
    if native::is_native(&file) {
        file = native::to_published(file, &mut assumed)?;
    }
    for key in ["vision_config", "llm_config"] {
        if !file.get(key).is_some_and(Value::is_object) {
            return Err(format!(
                "{key}: expected an object, as InternVL and MLLMSeg models have it, found {}",
                file.get(key).unwrap_or(&Value::Null)
            ));
        }
    }
    spell_as_published(&mut file)?;
    if let Some(language) = keys_of(&mut file, "llm_config") {
        one_rope(language).map_err(|error| format!("llm_config.{error}"))?;
        fill_language(language, &mut assumed);
    }
    tie(&mut file);
    for (section, keys) in defaults().as_object().into_iter().flatten() {
        for (key, value) in keys.as_object().into_iter().flatten() {
            if let Some(keys) = keys_of(&mut file, section)
                && keys.get(key).is_none_or(|found| found.is_null() && !value.is_null())
            {
                let dot = if section.is_empty() { "" } else { "." };
                assumed.push(format!("{section}{dot}{key} = {value}"));
                keys.insert(key.clone(), value.clone());
            }
        }
    }
    if file.get("mask_decoder_config").is_none_or(Value::is_null) {
        file.remove("mask_decoder_config");
        assumed.push("mask_decoder_config = the published one: dsff, 8 heads, 4 groups".into());
    }
    if file.get("force_image_size").is_none_or(Value::is_null)
        && let Some(size) = file.get("vision_config").and_then(|v| v.get("image_size")).cloned()
    {
        assumed.push(format!("force_image_size = {size}, which is vision_config.image_size"));
        file.insert("force_image_size".into(), size);
    }
    Ok((Value::Object(file), assumed))
}

/// Keys and values that have other names.
fn spell_as_published(file: &mut Map<String, Value>) -> Result<(), String> {
    for (section, key, others) in ALIASES {
        if let Some(section_keys) = keys_of(file, section) {
            one_name(section_keys, key, others).map_err(|error| format!("{section}.{error}"))?;
        }
    }
    for (section, key) in SIDES {
        let value = keys_of(file, section).and_then(|keys| keys.get_mut(key));
        if let Some(value) = value {
            one_side(value).map_err(|found| {
                let key = format!("{section}.{key}");
                format!("{}: expected a square, found {found}", key.trim_start_matches('.'))
            })?;
        }
    }
    for (section, other, name) in SAME_ACTIVATION {
        let value = keys_of(file, section).and_then(|keys| keys.get_mut("hidden_act"));
        if let Some(value) = value.filter(|value| *value == other) {
            *value = name.into();
        }
    }
    Ok(())
}

/// The keys of a section, or of the whole file.
fn keys_of<'a>(
    file: &'a mut Map<String, Value>,
    section: &str,
) -> Option<&'a mut Map<String, Value>> {
    match section {
        "" => Some(file),
        _ => file.get_mut(section)?.as_object_mut(),
    }
}

fn refuse_quantized(file: &Map<String, Value>) -> Result<(), String> {
    let sections = ["llm_config", "text_config", "vision_config"];
    let inner =
        sections.iter().filter_map(|section| file.get(*section)?.get("quantization_config"));
    let found = file.get("quantization_config").into_iter().chain(inner).find(|v| !v.is_null());
    match found {
        None => Ok(()),
        Some(found) => Err(format!(
            "quantization_config: expected weights in f32, bf16 or f16, found some quantised by {}; take \
             the model that was not quantised",
            found.get("quant_method").unwrap_or(found)
        )),
    }
}

/// `[448, 448]` as 448.
fn one_side(value: &mut Value) -> Result<(), Value> {
    if let Value::Array(sides) = value {
        match &sides[..] {
            [side] => *value = side.clone(),
            [height, width] if height == width => *value = width.clone(),
            _ => return Err(value.take()),
        }
    }
    Ok(())
}

/// What transformers derives from other keys of the language model.
fn fill_language(language: &mut Map<String, Value>, assumed: &mut Vec<String>) {
    let is =
        |language: &Map<_, _>, key: &str| language.get(key).is_some_and(|v: &Value| !v.is_null());
    if !is(language, "architectures") {
        let name = match language.get("model_type").and_then(Value::as_str) {
            Some("qwen2") => Some("Qwen2ForCausalLM"),
            Some("qwen3") => Some("Qwen3ForCausalLM"),
            Some("internlm2") => Some("InternLM2ForCausalLM"),
            _ => None,
        };
        if let Some(name) = name {
            assumed.push(format!("llm_config.architectures = {name}, by its model_type"));
            language.insert("architectures".into(), json!([name]));
        }
    }
    let is_internlm2 = language.get("model_type").is_some_and(|kind| kind == "internlm2");
    if is_internlm2 && !is(language, "bias") {
        assumed.push("llm_config.bias = true".into());
        language.insert("bias".into(), true.into());
    }
    // InternLM2's default is null as well; Qwen2's is the 32 of another size.
    let is_null = language.get("num_key_value_heads").map_or(is_internlm2, Value::is_null);
    if is_null && let Some(heads) = language.get("num_attention_heads").cloned() {
        assumed.push(format!("llm_config.num_key_value_heads = {heads}, one for each query head"));
        language.insert("num_key_value_heads".into(), heads);
    }
}

/// `tie_word_embeddings` of the language model; without it, that of the whole.
fn tie(file: &mut Map<String, Value>) {
    let whole = file.get("tie_word_embeddings").filter(|value| value.is_boolean()).cloned();
    if let (Some(whole), Some(language)) = (whole, keys_of(file, "llm_config")) {
        let own = language.entry("tie_word_embeddings").or_insert(Value::Null);
        if own.is_null() {
            *own = whole;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Preset;

    /// What published files leave to the published code.
    const DECODER: &str = "mask_decoder_config = the published one: dsff, 8 heads, 4 groups";

    fn edited(edit: impl FnOnce(&mut Value)) -> Result<(Value, Vec<String>), String> {
        let mut file = Preset::InternVl2_5_1b.config().to_json(None);
        edit(&mut file);
        to_published(file)
    }

    #[test]
    fn a_published_file_stays_as_it_is() {
        let file = Preset::InternVl2_5_1b.config().to_json(None);
        assert_eq!(to_published(file.clone()), Ok((file, vec![DECODER.into()])));
    }

    #[test]
    fn other_spellings_become_the_published_one() {
        let file = Preset::InternVl2_5_1b.config().to_json(None);
        let spelled = edited(|file| {
            let vision = file["vision_config"].as_object_mut().unwrap();
            let eps = vision.remove("layer_norm_eps").unwrap();
            vision.insert("layer_norm_epsilon".into(), eps);
            vision["patch_size"] = json!([14, 14]);
            vision["hidden_act"] = json!("gelu_python");
            file["force_image_size"] = json!([448, 448]);
            file["llm_config"]["hidden_act"] = json!("swish");
        });
        assert_eq!(spelled, Ok((file, vec![DECODER.into()])));
    }

    #[test]
    fn two_values_for_one_thing_are_refused() {
        type Edit = fn(&mut Value);
        let refused: [(Edit, &str); 4] = [
            (|file| file["llm_config"]["norm_eps"] = json!(1e-5), "llm_config.rms_norm_eps"),
            (
                |file| file["vision_config"]["patch_size"] = json!([14, 16]),
                "vision_config.patch_size",
            ),
            (
                |file| file["llm_config"]["quantization_config"] = json!({ "quant_method": "awq" }),
                "awq",
            ),
            (|file| drop(file["llm_config"].take()), "llm_config"),
        ];
        for (edit, word) in refused {
            let error = edited(edit).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn what_a_default_fills_in_is_told() {
        let (file, assumed) = edited(|file| {
            file["llm_config"]["num_key_value_heads"] = Value::Null;
            file["llm_config"]["architectures"] = Value::Null;
            file.as_object_mut().unwrap().remove("force_image_size");
        })
        .unwrap();
        assert_eq!(file["llm_config"]["num_key_value_heads"], 14);
        assert_eq!(file["llm_config"]["architectures"], json!(["Qwen2ForCausalLM"]));
        assert_eq!(file["force_image_size"], 448);
        assert_eq!(assumed.len(), 4, "{assumed:?}");
    }
}
