//! A configuration back to `config.json`.

use serde_json::{Value, json};

use super::{Architecture, MaskDecoderConfig, MllmsegConfig, PsVersion, RopeScaling};

impl MllmsegConfig {
    /// The `config.json` of this configuration. Keys of `base` that are not ours are kept.
    pub fn to_json(&self, base: Option<&Value>) -> Value {
        let mut whole = base.cloned().unwrap_or_else(|| json!({ "model_type": "internvl_chat" }));
        merge(&mut whole, self.own_json());
        whole
    }

    fn own_json(&self) -> Value {
        let mut own = json!({
            "vision_config": self.vision_json(),
            "llm_config": self.language_json(),
            "force_image_size": self.image_size,
            "downsample_ratio": self.downsample_ratio,
            "ps_version": match self.ps_version { PsVersion::V1 => "v1", PsVersion::V2 => "v2" },
            "select_layer": self.select_layer,
            "template": self.template,
            "use_llm_lora": self.use_llm_lora,
        });
        if self.mask_decoder != MaskDecoderConfig::default() {
            own["mask_decoder_config"] = json!(self.mask_decoder);
        }
        own
    }

    fn vision_json(&self) -> Value {
        let vision = &self.vision;
        json!({
            "architectures": ["InternVisionModel"],
            "model_type": "intern_vit_6b",
            "hidden_size": vision.hidden_size,
            "intermediate_size": vision.intermediate_size,
            "num_hidden_layers": vision.num_hidden_layers,
            "num_attention_heads": vision.num_attention_heads,
            "patch_size": vision.patch_size,
            "image_size": vision.image_size,
            "layer_norm_eps": vision.layer_norm_eps,
            "qkv_bias": vision.qkv_bias,
            "initializer_factor": vision.initializer_factor,
            "norm_type": "layer_norm",
            "qk_normalization": false,
            "hidden_act": "gelu",
        })
    }

    fn language_json(&self) -> Value {
        let language = &self.language;
        let (architecture, model_type) = match language.architecture {
            Architecture::InternLm2 => ("InternLM2ForCausalLM", "internlm2"),
            Architecture::Qwen2 => ("Qwen2ForCausalLM", "qwen2"),
        };
        let rope_scaling = match language.rope_scaling {
            RopeScaling::None => Value::Null,
            RopeScaling::Linear(factor) => json!({ "type": "linear", "factor": factor }),
            RopeScaling::Dynamic(factor) => json!({ "type": "dynamic", "factor": factor }),
        };
        json!({
            "architectures": [architecture],
            "model_type": model_type,
            "vocab_size": language.vocab_size,
            "hidden_size": language.hidden_size,
            "intermediate_size": language.intermediate_size,
            "num_hidden_layers": language.num_hidden_layers,
            "num_attention_heads": language.num_attention_heads,
            "num_key_value_heads": language.num_key_value_heads,
            "rms_norm_eps": language.rms_norm_eps,
            "rope_theta": language.rope_theta,
            "rope_scaling": rope_scaling,
            "max_position_embeddings": language.max_position_embeddings,
            "bias": language.bias,
            "hidden_act": "silu",
            "tie_word_embeddings": false,
        })
    }
}

/// Writes the keys of `from` over those of `into`, object by object.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::{MllmsegConfig, Preset};
    use serde_json::json;

    #[test]
    fn written_and_read_again_it_is_the_same() {
        for preset in Preset::ALL {
            let config = preset.config();
            let base = json!({ "llm_config": { "auto_map": "kept" } });
            let written = config.to_json(Some(&base));
            assert_eq!(written["llm_config"]["auto_map"], "kept");
            let read = MllmsegConfig::from_json(&written.to_string(), Path::new("x")).unwrap();
            assert_eq!(read.language, config.language);
            assert_eq!(read.to_json(None), config.to_json(None));
        }
    }
}
