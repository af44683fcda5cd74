//! The `config.json` of transformers' own InternVL (`InternVLForConditionalGeneration`), rewritten as a
//! published one, and back.

use serde_json::{Map, Value, json};

/// Whether a file is of that layout.
pub(super) fn is_native(file: &Map<String, Value>) -> bool {
    file.contains_key("text_config") && !file.contains_key("llm_config")
}

/// Keys with the one value that is computed, where the file has them.
const FIXED: [(&str, &str); 6] = [
    ("/vision_feature_select_strategy", "\"default\""),
    ("/projector_hidden_act", "\"gelu\""),
    ("/text_config/mlp_bias", "false"), // a key of Llama
    ("/vision_config/model_type", "\"internvl_vision\""),
    ("/vision_config/use_absolute_position_embeddings", "true"),
    ("/vision_config/use_mean_pooling", "true"), // false: a norm after the last layer
];

/// The width of published vision encoders, for which the published mask decoder is made.
const PUBLISHED_WIDTH: u64 = 1024;

/// The file in published keys. Keys of its own stay, but for those that were rewritten.
pub(super) fn to_published(
    file: Map<String, Value>,
    assumed: &mut Vec<String>,
) -> Result<Map<String, Value>, String> {
    let mut file = Value::Object(file);
    if file["model_type"] != "internvl" {
        let found = &file["model_type"];
        return Err(format!("model_type: expected \"internvl\" beside text_config, found {found}"));
    }
    for (pointer, expected) in FIXED {
        let found = file.pointer(pointer).filter(|value| !value.is_null()).map(Value::to_string);
        if let Some(found) = found.filter(|found| found != expected) {
            let key = pointer[1..].replace('/', ".");
            return Err(format!("{key}: expected {expected}, found {found}"));
        }
    }
    let kind = file["text_config"]["model_type"].clone();
    if kind == "llama" {
        let language = &mut file["text_config"]; // InternLM2
        language["model_type"] = "internlm2".into();
        language["architectures"] = json!(["InternLM2ForCausalLM"]);
        let bias = language.as_object_mut().and_then(|keys| keys.remove("attention_bias"));
        language["bias"] = bias.filter(|bias| !bias.is_null()).unwrap_or(false.into());
    } else if kind != "qwen2" && kind != "qwen3" {
        return Err(format!(
            "text_config.model_type: expected \"qwen2\", \"qwen3\" or \"llama\" (InternLM2), found {kind}; \
             other language models are not supported"
        ));
    }
    if file["mask_decoder_config"].is_null() {
        let width = file["vision_config"]["hidden_size"].as_u64();
        if width != Some(PUBLISHED_WIDTH) {
            return Err(
                "mask_decoder_config: missing in a file of transformers' own layout \
                        (InternVLForConditionalGeneration); only a vision encoder of width 1024 has a \
                        published decoder: copy the section from the config.json that the model was \
                        trained with"
                .into(),
            );
        }
    }
    if file["template"].is_null() {
        assumed.push("template = internvl2_5, as in every MLLMSeg model".into());
        file["template"] = "internvl2_5".into();
    }
    rename(&mut file, "text_config", "llm_config");
    rename(&mut file, "vision_feature_layer", "select_layer");
    let tied = take(&mut file, "tie_word_embeddings"); // of the whole, where the language model's is absent
    if let Some(tied) = tied.filter(|_| file["llm_config"]["tie_word_embeddings"].is_null()) {
        file["llm_config"]["tie_word_embeddings"] = tied;
    }
    if file["vision_config"].is_object() {
        let vision = &mut file["vision_config"];
        vision["architectures"] = json!(["InternVisionModel"]);
        vision["model_type"] = "intern_vit_6b".into();
        rename(vision, "layer_scale_init_value", "initializer_factor");
    }
    file["ps_version"] = "v2".into();
    file["model_type"] = "internvl_chat".into();
    file["architectures"] = json!(["InternVLChatModel"]);
    Ok(file.as_object_mut().map(std::mem::take).unwrap_or_default())
}

/// Keys of published files that are of no use beside transformers' own code: names of Python files,
/// and an attention of a package that may not be there.
const LEFT_OUT: [&str; 2] = ["auto_map", "attn_implementation"];

/// A published file in the keys of transformers. Keys that neither knows stay.
///
/// # Errors
/// What the layout has no place for, by its key.
pub(super) fn from_published(mut file: Value) -> Result<Value, String> {
    if file["ps_version"] != "v2" {
        let found = &file["ps_version"];
        return Err(format!("ps_version: expected \"v2\" for transformers' layout, found {found}"));
    }
    if file["image_token_id"].as_u64().is_none() {
        return Err(
            "image_token_id: missing; transformers' layout needs the id of <IMG_CONTEXT>".into()
        );
    }
    let number = |pointer: &str| file.pointer(pointer).and_then(Value::as_f64).unwrap_or_default();
    let side = number("/force_image_size") / number("/vision_config/patch_size")
        * number("/downsample_ratio");
    file["image_seq_length"] = json!((side * side).round() as u64);
    for section in ["", "/llm_config", "/vision_config"] {
        let keys = file.pointer_mut(section);
        keys.into_iter().for_each(|keys| LEFT_OUT.iter().for_each(|key| drop(take(keys, key))));
    }
    language_from_published(&mut file["llm_config"]);
    vision_from_published(&mut file["vision_config"]);
    // What reading fills in where it is absent.
    take(&mut file, "ps_version");
    if file["template"] == "internvl2_5" {
        take(&mut file, "template");
    }
    if file["use_llm_lora"] == 0 {
        take(&mut file, "use_llm_lora");
    }
    if file["force_image_size"] == file["vision_config"]["image_size"][0] {
        take(&mut file, "force_image_size");
    }
    rename(&mut file, "llm_config", "text_config");
    rename(&mut file, "select_layer", "vision_feature_layer");
    file["vision_feature_select_strategy"] = "default".into();
    file["projector_hidden_act"] = "gelu".into();
    file["model_type"] = "internvl".into();
    file["architectures"] = json!(["InternVLForConditionalGeneration"]);
    // Version 4 reads it of the language model, version 5 of the whole.
    file["tie_word_embeddings"] = file["text_config"]["tie_word_embeddings"].clone();
    Ok(file)
}

fn language_from_published(language: &mut Value) {
    if language["model_type"] == "internlm2" {
        rename(language, "bias", "attention_bias");
        language["model_type"] = "llama".into();
        language["architectures"] = json!(["LlamaForCausalLM"]);
        language["mlp_bias"] = false.into();
    }
}

fn vision_from_published(vision: &mut Value) {
    vision["architectures"] = json!(["InternVLVisionModel"]);
    vision["model_type"] = "internvl_vision".into();
    for (published, native) in [
        ("qkv_bias", "attention_bias"),
        ("qk_normalization", "use_qk_norm"),
        ("initializer_factor", "layer_scale_init_value"),
    ] {
        rename(vision, published, native);
    }
    for key in ["image_size", "patch_size"] {
        let side = vision[key].take();
        vision[key] = json!([side, side]);
    }
    for key in ["use_absolute_position_embeddings", "use_mean_pooling"] {
        vision[key] = true.into();
    }
}

fn take(keys: &mut Value, key: &str) -> Option<Value> {
    keys.as_object_mut()?.remove(key)
}

fn rename(keys: &mut Value, from: &str, to: &str) {
    if let Some(value) = take(keys, from) {
        keys[to] = value;
    }
}
