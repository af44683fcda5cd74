//! The whole `config.json`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use super::check::{expect, multiple, size};
use super::language::LanguageConfig;
use super::mask_decoder::MaskDecoderConfig;
use super::spelling::to_published;
use super::vision::VisionConfig;
use crate::checkpoint::read::read_text;

/// Everything that decides the shapes of a model.
///
/// Keys that decide numbers have no defaults: a file without them is refused.
///
/// ```
/// use mllmseg_model::{MllmsegConfig, Preset};
///
/// # fn main() -> Result<(), mllmseg_model::config::ConfigError> {
/// let config = Preset::InternVl2_5_1b.config();
/// assert_eq!((config.num_image_tokens(), config.mask_size()), (256, 448));
/// let text = config.to_json(None).to_string(); // a config.json
/// assert_eq!(MllmsegConfig::from_json(&text, "config.json".as_ref())?, config);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MllmsegConfig {
    /// The vision encoder, InternViT.
    #[serde(rename = "vision_config")]
    pub vision: VisionConfig,
    /// The language model.
    #[serde(rename = "llm_config")]
    pub language: LanguageConfig,
    /// The mask decoder.
    #[serde(
        rename = "mask_decoder_config",
        default,
        skip_serializing_if = "MaskDecoderConfig::is_published"
    )]
    pub mask_decoder: MaskDecoderConfig,
    /// Side of the square input image in pixels (`force_image_size`); `vision_config.image_size`
    /// where the file has none.
    #[serde(rename = "force_image_size", skip_deserializing)]
    pub image_size: usize,
    /// Space-to-depth ratio between patches and language tokens, per side.
    pub downsample_ratio: f64,
    /// Order of the space-to-depth squares.
    pub ps_version: PsVersion,
    /// Which vision layer's output is used: -1 the last, 0 the embeddings.
    pub select_layer: i64,
    /// Name of the chat template.
    pub template: String,
    /// Rank of the language model's LoRA, 0 for none.
    #[serde(default)]
    pub use_llm_lora: usize,
}

/// Order of the squares in space-to-depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PsVersion {
    /// Column by column, an early mistake that some weights are trained with.
    V1,
    /// Row by row.
    V2,
}

/// A `config.json` that cannot be read, or with a value that is missing, of the wrong type, not
/// supported, or that does not fit the others.
#[derive(Debug, Error)]
#[error("{}: {message}", path.display())]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// The key, what was expected and what was found.
    pub message: String,
}

/// Keys with the one value that this network computes: another value in a file is refused, and
/// this one is written.
fn fixed_values() -> Value {
    json!({
        "vision_config": {
            "architectures": ["InternVisionModel"],
            "model_type": "intern_vit_6b", // the name of the class, of InternViT-300M's too
            "norm_type": "layer_norm",
            "qk_normalization": false,
            "hidden_act": "gelu",
        },
        "llm_config": { "hidden_act": "silu" },
    })
}

impl MllmsegConfig {
    /// Reads `config.json` of a checkpoint folder.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn from_dir(dir: &Path) -> Result<Self, ConfigError> {
        Ok(Self::read(dir)?.0)
    }

    /// As [`from_dir`](Self::from_dir), with a line `key = value` for each key that the file does not
    /// have and that has a default in the published code.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn read(dir: &Path) -> Result<(Self, Vec<String>), ConfigError> {
        const MAX_BYTES: u64 = 16 << 20;
        let path = dir.join("config.json");
        let text = read_text(&path, MAX_BYTES).map_err(|error| {
            format!("{error}; a checkpoint folder holds config.json, tokenizer files and weights")
        });
        text.and_then(|text| Self::parse(&text)).map_err(|message| ConfigError { path, message })
    }

    /// Parses the text of a `config.json`; `path` is only named in errors.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn from_json(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let parsed = Self::parse(text).map(|(config, _)| config);
        parsed.map_err(|message| ConfigError { path: path.to_path_buf(), message })
    }

    fn parse(text: &str) -> Result<(Self, Vec<String>), String> {
        let file: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let (file, assumed) = to_published(file)?;
        check_fixed_values(&file)?;
        let mut config: Self = serde_path_to_error::deserialize(&file).map_err(|error| {
            format!("{error}; the config.json of the published base has the right value")
        })?;
        let forced_size = usize::deserialize(&file["force_image_size"]);
        config.image_size = forced_size.map_err(|error| format!("force_image_size: {error}"))?;
        let (kind, expected) =
            (&file["llm_config"]["model_type"], config.language.architecture.model_type());
        let fits = kind.is_null() || kind == expected;
        expect(
            fits,
            "llm_config.model_type",
            format_args!("{expected:?} beside its architectures"),
            kind,
        )?;
        config.check()?;
        Ok((config, assumed))
    }

    fn check(&self) -> Result<(), String> {
        let (vision, decoder) = (&self.vision, &self.mask_decoder);
        vision.check().map_err(|message| format!("vision_config.{message}"))?;
        self.language.check().map_err(|message| format!("llm_config.{message}"))?;
        decoder.check().map_err(|message| format!("mask_decoder_config.{message}"))?;
        let (key, width) = ("vision_config.hidden_size", vision.hidden_size);
        multiple(key, width, "mask decoder heads", decoder.num_attention_heads)?;
        multiple(key, width, "dysample_groups", decoder.dysample_groups)?;

        size("force_image_size", self.image_size, 1 << 14)?;
        multiple("force_image_size", self.image_size, "patch_size", vision.patch_size)?;
        let (ratio, per_side) = (self.downsample_ratio, self.tokens_per_side_ratio());
        let is_one_over =
            ratio > 0.0 && ratio <= 1.0 && (1.0 / ratio - per_side as f64).abs() < 1e-6;
        expect(is_one_over, "downsample_ratio", "1 divided by a whole number", ratio)?;
        let side = self.patches_per_side();
        multiple("force_image_size / patch_size", side, "1 / downsample_ratio", per_side)?;

        let layers = vision.num_hidden_layers as i64;
        let of_the_list = (-layers - 1..=layers).contains(&self.select_layer);
        let expected = format_args!("{} to {layers}", -layers - 1);
        expect(of_the_list, "select_layer", expected, self.select_layer)?;
        let (rank, most) = (self.use_llm_lora, self.language.hidden_size);
        expect(rank <= most, "use_llm_lora", format_args!("at most {most}"), rank)
    }

    /// The `config.json` of this configuration. Keys of `base` that are not ours are kept.
    pub fn to_json(&self, base: Option<&Value>) -> Value {
        let mut whole = base.cloned().unwrap_or_else(|| json!({ "model_type": "internvl_chat" }));
        if let Ok(published) = published_json(whole.clone()) {
            whole = published; // what is no whole configuration stays as it is
        }
        merge(&mut whole, fixed_values());
        merge(&mut whole, json!(self));
        let language = &mut whole["llm_config"];
        language["model_type"] = self.language.architecture.model_type().into();
        // Published models have two tables whatever their file says, so `true` is read and not kept.
        language["tie_word_embeddings"] = false.into();
        whole
    }

    /// Patches per side of the image (32 in published models).
    pub fn patches_per_side(&self) -> usize {
        self.image_size / self.vision.patch_size
    }

    /// Patches per side that make one language token (2 in published models).
    pub fn tokens_per_side_ratio(&self) -> usize {
        (1.0 / self.downsample_ratio).round() as usize
    }

    /// Language tokens per image, `l` (256 in published models).
    pub fn num_image_tokens(&self) -> usize {
        (self.patches_per_side() / self.tokens_per_side_ratio()).pow(2)
    }

    /// Side of a predicted mask in pixels (448 in published models).
    pub fn mask_size(&self) -> usize {
        self.patches_per_side() * self.vision.patch_size
    }
}

/// The content of a `config.json` in the keys of published files, whichever layout and version it has.
///
/// # Errors
/// What is not read, by its key.
pub fn published_json(file: Value) -> Result<Value, String> {
    to_published(file).map(|(file, _)| file)
}

/// What an error about a base names.
const SUPPORTED: &str = "supported are InternViT-300M, not InternViT-6B, with InternLM2, Qwen2 or \
                         Qwen3 of at most 8B";
/// The width of the largest language model that is supported, of the 8B sizes.
const LARGEST_WIDTH: u64 = 4096;

fn check_fixed_values(file: &Value) -> Result<(), String> {
    let language = &file["llm_config"];
    let layers = language["layer_types"].as_array().into_iter().flatten();
    if let Some(found) = layers.into_iter().find(|kind| *kind != "full_attention") {
        return Err(format!("llm_config.layer_types: expected \"full_attention\", found {found}"));
    }
    if let Some(kind) = language["architectures"][0].as_str()
        && (kind.contains("Moe") || kind.contains("GptOss") || kind == "InternLM3ForCausalLM")
    {
        return Err(format!(
            "llm_config.architectures: {kind} is not supported: mixtures of experts and InternLM3 \
             (InternVL3-9B) are not; {SUPPORTED}"
        ));
    }
    if let Some(width) = language["hidden_size"].as_u64().filter(|&width| width > LARGEST_WIDTH) {
        return Err(format!(
            "llm_config.hidden_size: expected at most {LARGEST_WIDTH}, found {width}; bases of 14B and \
             more are not supported: {SUPPORTED}"
        ));
    }
    let is_qwen3 = language["architectures"][0] == "Qwen3ForCausalLM";
    if is_qwen3 && language["attention_bias"] == true {
        return Err(
            "llm_config.attention_bias: expected false, as published Qwen3 has, found true".into(),
        );
    }
    // Refused, but not written: the network has no such attention.
    let refused = json!({ "llm_config": { "use_sliding_window": false } });
    for table in [fixed_values(), refused] {
        for (section, keys) in table.as_object().into_iter().flatten() {
            for (key, expected) in keys.as_object().into_iter().flatten() {
                let found = &file[section][key];
                if !found.is_null() && found != expected {
                    return Err(format!(
                        "{section}.{key}: expected {expected}, found {found}; {SUPPORTED}"
                    ));
                }
            }
        }
    }
    Ok(())
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
    use super::*;
    use crate::Preset;

    #[test]
    fn written_and_read_again_it_is_the_same() {
        for preset in Preset::ALL {
            let config = preset.config();
            let base = json!({ "llm_config": { "auto_map": "kept" } });
            let written = config.to_json(Some(&base));
            assert_eq!(written["llm_config"]["auto_map"], "kept");
            let read = MllmsegConfig::from_json(&written.to_string(), Path::new("x")).unwrap();
            assert_eq!(read, config);
        }
    }

    /// Every key that decides numbers must be there; the few others have documented defaults.
    #[test]
    fn what_decides_numbers_is_read_or_refused() {
        let read = |file: &Value| MllmsegConfig::from_json(&file.to_string(), Path::new("x"));
        let whole = Preset::InternVl2_2b.config().to_json(None);
        let optional = [
            "architectures", // by the model_type
            "force_image_size",
            "use_llm_lora",
            "initializer_factor",
            "bias",
            "num_key_value_heads",
            "rope_scaling",
            "model_type",
            "norm_type",
            "qk_normalization",
            "hidden_act",
            "tie_word_embeddings",
        ];
        for section in ["", "/vision_config", "/llm_config"] {
            for key in whole.pointer(section).unwrap().as_object().unwrap().keys() {
                let mut file = whole.clone();
                file.pointer_mut(section).unwrap().as_object_mut().unwrap().remove(key);
                match read(&file) {
                    Ok(_) => assert!(optional.contains(&key.as_str()), "{key}"),
                    Err(error) => assert!(error.to_string().contains(key), "{error}"),
                }
            }
        }
        // Some published files say so of models that have two tables.
        let mut tied = whole.clone();
        tied["llm_config"]["tie_word_embeddings"] = json!(true);
        assert_eq!(read(&tied).unwrap().to_json(Some(&tied)), whole);
        let refused = [
            ("/llm_config/hidden_act", json!("gelu")),
            ("/vision_config/architectures", json!(["SiglipVisionModel"])),
            ("/force_image_size", json!(0)),
            ("/downsample_ratio", json!(0.3)),
            ("/ps_version", json!("v3")),
            ("/llm_config/architectures", json!(["Qwen3MoeForCausalLM"])),
            ("/llm_config/architectures", json!(["GptOssForCausalLM"])),
            ("/llm_config/architectures", json!(["InternLM3ForCausalLM"])),
            ("/llm_config/hidden_size", json!(5120)), // 14B
            ("/vision_config/qk_normalization", json!(true)), // InternViT-6B
        ];
        for (pointer, value) in refused {
            let mut file = whole.clone();
            *file.pointer_mut(pointer).unwrap() = value;
            let error = read(&file).unwrap_err().to_string();
            assert!(error.contains(&pointer[1..].replace('/', ".")), "{error}");
        }
    }
}
