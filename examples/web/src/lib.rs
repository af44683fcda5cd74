//! The model in a web page, for the script of its worker: files in, JSON out.
//!
//! `cargo xtask web` compiles this for the browser; for any other machine the crate is empty.
#![cfg(target_family = "wasm")]

use std::collections::BTreeMap;
use std::io::Cursor;

use image::codecs::png::PngEncoder;
use mllmseg::data::image::{Orientation, decode_image, size_in_memory};
use mllmseg::formats::{AnswerFormat, Found, maps_json, results_json};
use mllmseg::scenes::{Part, World, generate};
use mllmseg::{ImageSession, Segmenter, device};
use serde_json::json;
use wasm_bindgen::prelude::*;

/// Most pixels of an image, as in `mllmseg serve`: the browser gives a page 4 GB and no more.
const MAX_PIXELS: u64 = 50_000_000;
/// What an image is called in messages.
const NAME: &str = "the image";

#[wasm_bindgen]
unsafe extern "C" {
    /// Takes the name of each stage that begins.
    #[wasm_bindgen(js_name = tellStage)]
    fn tell_stage(stage: &str);
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn log_error(message: &str);
}

/// Says in the browser's console where a panic was; it ends the worker's model.
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|panic| log_error(&panic.to_string())));
}

/// The files of a checkpoint, as they arrive.
#[wasm_bindgen]
#[derive(Default)]
pub struct Checkpoint {
    files: BTreeMap<String, Vec<u8>>,
}

#[wasm_bindgen]
impl Checkpoint {
    /// Without files.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file by its name in the folder.
    pub fn add(&mut self, name: String, bytes: Vec<u8>) {
        self.files.insert(name, bytes);
    }

    /// The model.
    pub fn load(self) -> Result<Model, JsError> {
        let segmenter = Segmenter::from_bytes(self.files, &device::cpu())?;
        // The model lives as long as its worker, and the encoded image refers to it.
        Ok(Model { segmenter: Box::leak(Box::new(segmenter)), session: None })
    }
}

/// A model, and the image that was encoded last.
#[wasm_bindgen]
pub struct Model {
    segmenter: &'static Segmenter,
    session: Option<ImageSession<'static>>,
}

#[wasm_bindgen]
impl Model {
    /// Encodes the image of a file in place of the one before; its width and height.
    pub fn encode(&mut self, file: &[u8]) -> Result<String, JsError> {
        self.session = None;
        tell_stage("reading the image");
        let (width, height) = size_in_memory(file, NAME)?;
        if u64::from(width) * u64::from(height) > MAX_PIXELS {
            let message = format!(
                "{width} x {height} pixels, but at most {MAX_PIXELS} are taken; scale it down"
            );
            return Err(JsError::new(&message));
        }
        let image = decode_image(file, NAME, Orientation::Upright)?;
        self.session = Some(self.segmenter.encode_in_stages(&image, tell_stage)?);
        Ok(json!({ "width": image.width(), "height": image.height() }).to_string())
    }

    /// The answers to some expressions, as `mllmseg serve` writes them in this format.
    pub fn segment(&self, expressions: Vec<String>, format: &str) -> Result<String, JsError> {
        let session = self.session()?;
        let format: AnswerFormat = format.parse()?;
        let expressions: Vec<&str> = expressions.iter().map(|text| text.trim()).collect();
        let found = session.segment_all(&expressions)?;
        let found: Vec<Found> = found.into_iter().map(Found::from).collect();
        let (height, width) = session.image_size();
        let size = (width as u32, height as u32); // of a decoded image
        Ok(serde_json::to_string(&results_json("image", size, &found, format, 0.0)?)?)
    }

    /// The probabilities of one expression at the model's resolution, row by row.
    pub fn probabilities(&self, expression: &str) -> Result<Vec<f32>, JsError> {
        Ok(self.session()?.segment(expression)?.probabilities)
    }

    /// The activation maps of the image.
    pub fn maps(&self) -> Result<String, JsError> {
        let maps = self.session()?.activation_maps()?;
        Ok(json!({ "maps": maps_json(&maps)? }).to_string())
    }

    fn session(&self) -> Result<&ImageSession<'static>, JsError> {
        self.session.as_ref().ok_or_else(|| JsError::new("no image is encoded; open one first"))
    }
}

/// A drawn scene as PNG; each number has its own, and none is of the training.
#[wasm_bindgen(js_name = drawScene)]
pub fn draw_scene(number: u32) -> Result<Vec<u8>, JsError> {
    let scene = generate(&World::small(), 0, Part::TestB.index(number.into()));
    let mut bytes = Cursor::new(Vec::new());
    scene.draw().write_with_encoder(PngEncoder::new(&mut bytes))?;
    Ok(bytes.into_inner())
}

/// The words that the tiny model has met.
#[wasm_bindgen(js_name = knownWords)]
pub fn known_words() -> Vec<String> {
    World::small().vocabulary().into_iter().collect()
}
