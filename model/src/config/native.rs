//! The `config.json` of transformers' own InternVL (`InternVLForConditionalGeneration`), rewritten as a
//! published one.

use serde_json::{Map, Value, json};

/// Whether a file is of that layout.
pub(super) fn is_native(file: &Map<String, Value>) -> bool {
    file.contains_key("text_config") && !file.contains_key("llm_config")
}

/// Keys with the one value that is computed, where the file has them.
const FIXED: [(&str, &str); 5] = [
    ("/vision_feature_select_strategy", "\"default\""),
    ("/projector_hidden_act", "\"gelu\""),
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
    if kind != "qwen2" && kind != "qwen3" {
        return Err(format!(
            "text_config.model_type: expected \"qwen2\" or \"qwen3\" in transformers' own layout, found {kind}; take the \
             model in OpenGVLab's layout, whose name has no -hf"
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
    let mut rename = |from: &str, to: &str| {
        if let Some(value) = file.as_object_mut().and_then(|keys| keys.remove(from)) {
            file[to] = value;
        }
    };
    rename("text_config", "llm_config");
    rename("vision_feature_layer", "select_layer");
    if file["vision_config"].is_object() {
        let vision = &mut file["vision_config"];
        vision["architectures"] = json!(["InternVisionModel"]);
        vision["model_type"] = "intern_vit_6b".into();
        if let Some(scale) = vision.get("layer_scale_init_value").cloned() {
            vision["initializer_factor"] = scale;
        }
    }
    file["ps_version"] = "v2".into();
    file["model_type"] = "internvl_chat".into();
    file["architectures"] = json!(["InternVLChatModel"]);
    Ok(file.as_object_mut().map(std::mem::take).unwrap_or_default())
}
