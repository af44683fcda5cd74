//! The model in a web page, for the script of its worker: files in, JSON out.
//!
//! `cargo xtask web` compiles this for the browser; for any other machine the crate is empty.
#![cfg(target_family = "wasm")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor};
use std::sync::Arc;

use image::codecs::png::PngEncoder;
use mllmseg::data::image::{Orientation, decode_image, size_in_memory};
use mllmseg::formats::{AnswerFormat, Found, maps_json, results_json};
use mllmseg::model::checkpoint::Files;
use mllmseg::model::quantize::Quantization;
use mllmseg::scenes::{Part, Placed, Scene, World, compose, generate};
use mllmseg::{Alteration, ImageSession, Room, SegmentError, Segmenter};
use serde_json::{Value, json};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::js_sys::Error;

/// Most pixels of an image, as in `mllmseg serve`: the browser gives a page 4 GB and no more.
const MAX_PIXELS: u64 = 50_000_000;
/// Most bytes of weights on the CPU: the rest of the 4 GB is for what is computed with them.
#[cfg(not(feature = "webgpu"))]
const MEMORY: u64 = 3_400_000_000;
/// What an image is called in messages.
const NAME: &str = "the image";

#[wasm_bindgen]
unsafe extern "C" {
    /// Takes the name of each stage that begins.
    #[wasm_bindgen(js_name = tellStage)]
    fn tell_stage(stage: &str);
    /// Reads `length` bytes of a file of the checkpoint from `start` on.
    #[wasm_bindgen(catch, js_name = readFile)]
    fn read_file(name: &str, start: f64, length: f64) -> Result<Vec<u8>, JsValue>;
    /// Takes where a panic was and, in further lines, why; it ends the worker's model.
    #[wasm_bindgen(js_name = tellPanic)]
    fn tell_panic(message: &str);
}

#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|panic| tell_panic(&panic.to_string())));
}

/// The files of a checkpoint, which the worker holds: their names and lengths.
#[derive(Debug)]
struct WorkerFiles(BTreeMap<String, u64>);

impl Files for WorkerFiles {
    fn names(&self) -> BTreeSet<String> {
        self.0.keys().cloned().collect()
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        Ok(*self.0.get(name).ok_or(io::ErrorKind::NotFound)?)
    }

    fn read(&self, name: &str, start: u64, length: usize) -> io::Result<Vec<u8>> {
        let bytes = read_file(name, start as f64, length as f64).map_err(|error| {
            io::Error::other(error.as_string().unwrap_or_else(|| "the browser refused".into()))
        })?;
        match bytes.len() == length {
            true => Ok(bytes),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// A model, and the image that was encoded last.
#[wasm_bindgen]
pub struct Model {
    /// As it was loaded.
    whole: &'static Segmenter,
    /// By the alterations that were asked for; a reader of the book tries few.
    altered: BTreeMap<String, &'static Segmenter>,
    /// The one that answers.
    segmenter: &'static Segmenter,
    session: Option<ImageSession<'static>>,
}

/// Where a model is loaded to.
#[wasm_bindgen]
pub struct Place(Room);

/// The GPU that the browser gives.
#[cfg(feature = "webgpu")]
#[wasm_bindgen(js_name = findPlace)]
pub async fn find_place() -> Result<Place, JsError> {
    let gpu = mllmseg::device::BrowserGpu::request().await?;
    Ok(Place(Room::Gpu(gpu.device, gpu.largest_tensor)))
}

/// The CPU.
#[cfg(not(feature = "webgpu"))]
#[wasm_bindgen(js_name = findPlace)]
pub async fn find_place() -> Result<Place, JsError> {
    Ok(Place(Room::Cpu(MEMORY)))
}

/// The model of a folder, whose files are given as an object of their lengths.
#[wasm_bindgen(js_name = loadModel)]
pub fn load_model(folder: &str, lengths: &str, place: &Place) -> Result<Model, JsError> {
    let files = WorkerFiles(serde_json::from_str(lengths)?);
    let whole = Segmenter::from_files(folder.as_ref(), Arc::new(files), &place.0)?;
    let whole = kept(whole);
    Ok(Model { whole, altered: BTreeMap::new(), segmenter: whole, session: None })
}

/// A model lives as long as its worker, and the encoded image refers to it.
fn kept(segmenter: Segmenter) -> &'static Segmenter {
    Box::leak(Box::new(segmenter))
}

#[wasm_bindgen]
impl Model {
    /// What there is to say about how it was read.
    pub fn notes(&self) -> String {
        let report = &self.whole.report;
        let mut notes = report.notes.clone();
        if report.quantization != Quantization::None {
            notes.push(format!("its matrices are kept in {:?}", report.quantization));
        }
        if report.fresh_mask_decoder {
            notes.push("it has no mask decoder, so its masks mean nothing".into());
        }
        notes.join("; ")
    }

    /// Changes weights of its mask decoder, from how they were loaded: an [`Alteration`].
    pub fn alter(&mut self, alteration: &str) -> Result<(), JsError> {
        let parsed: Alteration = serde_json::from_str(alteration)?;
        self.session = None;
        let altered = self.altered.entry(alteration.to_string());
        self.segmenter = *altered.or_insert_with(|| kept(self.whole.altered(parsed)));
        Ok(())
    }

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

    /// Waits until the image is encoded; only a GPU is not done before. Its maps must be finite.
    pub async fn wait(&self) -> Result<(), JsValue> {
        self.session()?.decoder_maps_async().await.map_err(failure)?;
        Ok(())
    }

    /// The answers to some expressions, as `mllmseg serve` writes them in this format.
    pub async fn segment(
        &self,
        expressions: Vec<String>,
        format: String,
    ) -> Result<String, JsValue> {
        let session = self.session()?;
        let format: AnswerFormat = format.parse().map_err(JsError::from)?;
        let expressions: Vec<&str> = expressions.iter().map(|text| text.trim()).collect();
        let found = session.segment_all_async(&expressions).await.map_err(failure)?;
        let found: Vec<Found> = found.into_iter().map(Found::from).collect();
        let (height, width) = session.image_size();
        let size = (width as u32, height as u32); // of a decoded image
        let results = results_json("image", size, &found, format, 0.0).map_err(JsError::from)?;
        Ok(Value::from(results).to_string())
    }

    /// The probabilities of one expression at the model's resolution, row by row.
    pub async fn probabilities(&self, expression: String) -> Result<Vec<f32>, JsValue> {
        let found = self.session()?.segment_all_async(&[&expression]).await.map_err(failure)?;
        Ok(found.into_iter().flat_map(|found| found.probabilities).collect())
    }

    /// The maps of the image that Figure 4 has, or those of the mask decoder.
    pub async fn maps(&self, of_decoder: bool) -> Result<String, JsValue> {
        let session = self.session()?;
        let maps = match of_decoder {
            true => session.decoder_maps_async().await,
            false => session.activation_maps_async().await,
        };
        let maps = maps_json(&maps.map_err(failure)?).map_err(JsError::from)?;
        Ok(json!({ "maps": maps }).to_string())
    }

    fn session(&self) -> Result<&ImageSession<'static>, JsError> {
        self.session.as_ref().ok_or_else(|| JsError::new("no image is encoded; open one first"))
    }
}

/// An error for the script, by whose name it knows that a device cannot be read from any more.
fn failure(error: SegmentError) -> JsValue {
    let failure = Error::new(&error.to_string());
    if matches!(error, SegmentError::ReadBack(..)) {
        failure.set_name("DeviceLost");
    }
    failure.into()
}

/// A drawn scene as PNG; each number has its own, and none is of the training.
#[wasm_bindgen(js_name = drawScene)]
pub fn draw_scene(number: u32) -> Result<Vec<u8>, JsError> {
    png(&generate(&World::small(), 0, Part::TestB.index(number.into())))
}

/// A scene as PNG, of a list of [`Placed`].
#[wasm_bindgen(js_name = composeScene)]
pub fn compose_scene(objects: &str) -> Result<Vec<u8>, JsError> {
    let objects: Vec<Placed> = serde_json::from_str(objects)?;
    let world = World::small();
    png(&compose(&world, world.image_sizes[0], 0, &objects)?)
}

/// What can be placed in it: words, diameters and the size of the image in pixels.
#[wasm_bindgen(js_name = sceneKinds)]
pub fn scene_kinds() -> String {
    let world = World::small();
    let image_size = world.image_sizes[0];
    let words = |words: &mut dyn Iterator<Item = &'static str>| words.collect::<Vec<_>>();
    let sizes = world.sizes.iter().map(
        |&size| json!({ "name": <&str>::from(size), "diameter": world.diameter(size, image_size) }),
    );
    json!({
        "image_size": image_size,
        "shapes": words(&mut world.shapes.iter().map(|&shape| shape.into())),
        "colours": words(&mut world.colours.iter().map(|&colour| colour.into())),
        "sizes": sizes.collect::<Vec<_>>(),
    })
    .to_string()
}

fn png(scene: &Scene) -> Result<Vec<u8>, JsError> {
    let mut bytes = Cursor::new(Vec::new());
    scene.draw().write_with_encoder(PngEncoder::new(&mut bytes))?;
    Ok(bytes.into_inner())
}

/// The words that the tiny model has met.
#[wasm_bindgen(js_name = knownWords)]
pub fn known_words() -> Vec<String> {
    World::small().vocabulary().into_iter().collect()
}
