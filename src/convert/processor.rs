//! The files that make transformers' `InternVLProcessor` prepare images and prompts as this program does.
//! OpenGVLab's layout has their numbers in its Python code.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use mllmseg_data::files::{FileError, read_bounded, write_file};
use mllmseg_data::image::{IMAGENET_MEAN, IMAGENET_STD};
use mllmseg_data::tokenizer::{IMG_CONTEXT, IMG_END, IMG_START, Tokenizer, TokenizerError};
use mllmseg_model::MllmsegConfig;
use serde_json::{Map, Value, json};

use super::error::ConvertError;

const IMAGES: &str = "preprocessor_config.json";
const PROCESSOR: &str = "processor_config.json";
const TOKENIZER: &str = "tokenizer_config.json";
/// The files of transformers' processor.
pub(super) const FILES: [&str; 3] = [IMAGES, PROCESSOR, "video_preprocessor_config.json"];
const MAX_BYTES: u64 = 16 << 20;

/// What decides the pixels, in the keys of the image processor.
fn pixels(config: &MllmsegConfig) -> [(&'static str, Value); 4] {
    let rounded = |values: [f32; 3]| values.map(|value| (f64::from(value) * 1e3).round() / 1e3);
    [
        ("size", json!({ "height": config.image_size, "width": config.image_size })),
        ("resample", 3.into()), // bicubic
        ("image_mean", json!(rounded(IMAGENET_MEAN))),
        ("image_std", json!(rounded(IMAGENET_STD))),
    ]
}

/// Refuses a folder whose image processor has other numbers: no layout would keep them.
///
/// # Errors
/// [`ConvertError::Processor`].
pub(super) fn check(dir: &Path, config: &MllmsegConfig) -> Result<(), ConvertError> {
    let path = dir.join(IMAGES);
    let file = read(&path)?;
    for (key, expected) in pixels(config) {
        let found = file.get(key).filter(|found| !found.is_null());
        // CLIP's processor, whose file OpenGVLab's folders have, writes one side.
        let side = |found: &Value| *found == config.image_size;
        let is_side =
            |found: &Value| key == "size" && (side(found) || side(&found["shortest_edge"]));
        if let Some(found) = found.filter(|found| **found != expected && !is_side(found)) {
            return Err(ConvertError::Processor(path, key, expected, found.clone()));
        }
    }
    Ok(())
}

/// Completes a folder in the layout of transformers: the files that are not there, and in
/// `tokenizer_config.json` the names of the tokens around an image.
///
/// # Errors
/// [`TokenizerError`], also for a file that cannot be read or written.
pub(crate) fn complete(dir: &Path, config: &MllmsegConfig) -> Result<(), TokenizerError> {
    let mut images = json!({
        "image_processor_type": "GotOcr2ImageProcessor", // by Pillow, as in training
        "processor_class": "InternVLProcessor",
        "do_convert_rgb": true,
        "do_resize": true,
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
        "crop_to_patches": false,
        "min_patches": 1, // the processor asks for patches all the same
        "max_patches": 1,
    });
    pixels(config).into_iter().for_each(|(key, value)| images[key] = value);
    let processor = json!({
        "processor_class": "InternVLProcessor",
        "image_seq_length": config.num_image_tokens(),
    });
    for (name, content) in [(IMAGES, images), (PROCESSOR, processor)] {
        let path = dir.join(name);
        if !path.exists() {
            write(&content, &path)?;
        }
    }
    let path = dir.join(TOKENIZER);
    let mut tokenizer = read(&path)?;
    if tokenizer.is_empty() || tokenizer.contains_key("extra_special_tokens") {
        return Ok(());
    }
    let tokens = json!({
        "start_image_token": IMG_START,
        "end_image_token": IMG_END,
        "context_image_token": IMG_CONTEXT,
        "video_token": "<video>",
    });
    tokenizer.insert("extra_special_tokens".into(), tokens);
    tokenizer.insert("processor_class".into(), "InternVLProcessor".into());
    tokenizer.remove("auto_map"); // Python files of OpenGVLab's layout
    if tokenizer.get("tokenizer_class").is_some_and(|class| class == "InternLM2Tokenizer") {
        tokenizer.insert("tokenizer_class".into(), "LlamaTokenizer".into());
    }
    // The tokenizer of Llama asks these of the configuration, not of `tokenizer.model`; versions 4 and 5 of
    // transformers have other defaults.
    let own = Tokenizer::from_dir(dir)?;
    if let Some(adds) = own.adds_prefix_space() {
        tokenizer.insert("add_prefix_space".into(), adds.into());
        tokenizer.insert("add_bos_token".into(), own.adds_bos().into());
    }
    // Python's "no limit" is an integer beyond those of a JSON reader here; absent means the same.
    tokenizer.retain(|key, value| key != "model_max_length" || value.as_u64().is_some());
    Ok(write(&Value::Object(tokenizer), &path)?)
}

/// A JSON object; empty where there is no such file.
fn read(path: &Path) -> Result<Map<String, Value>, FileError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Map::new()),
        _ => {
            let text = read_bounded(path, MAX_BYTES)?;
            let object = serde_json::from_slice(&text).map_err(io::Error::from);
            object.map_err(FileError::at(path))
        }
    }
}

fn write(content: &Value, path: &Path) -> Result<(), FileError> {
    write_file(path, |file| writeln!(file, "{content:#}"))
}
