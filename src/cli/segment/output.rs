//! The outputs of `segment`: images, scores, lines and JSON.

use std::path::{Path, PathBuf};
use std::time::Duration;

use burn::tensor::{DType, TensorData};
use image::RgbImage;
use mllmseg::model::checkpoint::write::write_safetensors;
use mllmseg::overlay::{draw_overlay_with_remarks, write_png};
use mllmseg::{MaskPrediction, Segmenter};
use serde_json::{Value, json};

use super::inputs::Input;
use super::masks::MaskWriter;
use crate::cli::CliError;
use crate::cli::answers::{caution_line, json_of, line_of, overlay_item};
use crate::cli::terminal::note;

/// An image with its answers.
pub struct Answered {
    pub image: RgbImage,
    pub predictions: Vec<MaskPrediction>,
    /// The model's own words, with `--generate`.
    pub generated: Option<String>,
    /// Why the answers may mean nothing.
    pub cautions: Vec<String>,
    /// The time for decoding, encoding and segmenting.
    pub timings: [Duration; 3],
}

/// The images that were written for one input.
#[derive(Default)]
pub struct Files {
    overlay: Option<PathBuf>,
    masks: Vec<PathBuf>,
}

/// Writes the masks at the image's size and one overlay.
pub fn write_images(
    answered: &Answered,
    input: &Input,
    folder: &Path,
    writer: &mut MaskWriter,
) -> Result<Files, CliError> {
    let size = answered.image.dimensions();
    let masks = writer.write(&answered.predictions, size, input, folder)?;
    let items: Vec<_> = answered.predictions.iter().map(overlay_item).collect();
    let path = folder.join(format!("{}_overlay.png", input.name));
    let overlay = draw_overlay_with_remarks(&answered.image, &items, &answered.cautions)?;
    write_png(&path, overlay)?;
    Ok(Files { overlay: Some(path), masks })
}

/// The probabilities of everything that was asked, image by image.
#[derive(Default)]
pub struct Scores {
    size: usize,
    values: Vec<u8>,
    rejected: Vec<u8>,
}

impl Scores {
    pub fn extend(&mut self, predictions: &[MaskPrediction]) -> Result<(), CliError> {
        for prediction in predictions {
            self.size = prediction.size;
            let bytes = 4 * prediction.probabilities.len();
            let full = |_| "too many scores to hold in memory; ask for fewer images at a time";
            self.values.try_reserve(bytes).map_err(full)?;
            self.values.extend(prediction.probabilities.iter().flat_map(|p| p.to_le_bytes()));
            self.rejected.push(prediction.rejected.into());
        }
        Ok(())
    }

    /// Writes the file, whole or not at all.
    pub fn write(self, path: &Path) -> Result<(), CliError> {
        let count = self.rejected.len();
        let shape = [count, self.size, self.size];
        let scores = TensorData::from_bytes_vec(self.values, shape, DType::F32);
        let rejected = TensorData::new(self.rejected, [count]);
        let arrays = vec![("scores".to_string(), scores), ("rejected".to_string(), rejected)];
        Ok(write_safetensors(arrays, path)?)
    }
}

/// Lines for people and JSON for programs.
pub struct Report {
    json: Value,
    images: Vec<Value>,
}

impl Report {
    /// Says on standard error what is loaded.
    pub fn new(segmenter: &Segmenter, load: Duration) -> Self {
        let device = &segmenter.device;
        let device = match device.id.as_str() {
            "cpu" => "cpu".to_string(),
            id => format!("{id} ({})", device.name),
        };
        let checkpoint = segmenter.dir.display().to_string();
        let (dtype, load) = (segmenter.model.dtype().name(), load.as_secs_f64());
        note(format!("{checkpoint} on {device} in {dtype}, loaded in {load:.1} s"));
        let json =
            json!({ "checkpoint": checkpoint, "device": device, "dtype": dtype, "load_s": load });
        Self { json, images: Vec::new() }
    }

    /// Adds an image's answers and returns the lines to print.
    pub fn add(&mut self, path: &Path, answered: &Answered, files: Files) -> String {
        let mut lines = vec![path.display().to_string()];
        let mut results = Vec::new();
        for (number, prediction) in answered.predictions.iter().enumerate() {
            let mask = files.masks.get(number).map(PathBuf::as_path);
            lines.push(line_of(prediction, mask));
            results.push(json_of(prediction, mask));
        }
        if let Some(text) = &answered.generated {
            lines.push(format!("  the model said: {text}"));
        }
        lines.extend(answered.cautions.iter().map(|caution| caution_line(caution)));
        let overlay = files.overlay.map(|path| path.display().to_string());
        if let Some(overlay) = &overlay {
            lines.push(format!("  overlay: {overlay}"));
        }
        let [decode, encode, segment] = answered.timings.map(|time| time.as_secs_f64());
        self.images.push(json!({
            "image": path.display().to_string(),
            "width": answered.image.width(),
            "height": answered.image.height(),
            "results": results,
            "answer": answered.generated,
            "cautions": answered.cautions,
            "overlay": overlay,
            "timings": { "decode_s": decode, "encode_s": encode, "segment_s": segment },
        }));
        lines.join("\n")
    }

    pub fn json(mut self) -> Value {
        self.json["images"] = self.images.into();
        self.json
    }
}
