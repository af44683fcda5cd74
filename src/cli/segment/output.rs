//! What `segment` leaves behind: pictures, scores, lines and JSON.

use std::path::{Path, PathBuf};
use std::time::Duration;

use burn::tensor::{DType, TensorData};
use image::{DynamicImage, RgbImage};
use mllmseg::model::checkpoint::write::write_safetensors;
use mllmseg::overlay::{OverlayItem, draw_overlay, mask_png, write_png_atomic};
use mllmseg::{MaskPrediction, Segmenter};
use serde_json::{Value, json};

use super::inputs::Input;
use crate::cli::CliError;

/// A picture with its answers.
pub struct Answered {
    pub image: RgbImage,
    pub predictions: Vec<MaskPrediction>,
    /// The model's own words, with `--generate`.
    pub said: Option<String>,
    pub timings: Timings,
}

/// Where the time went for one picture.
#[derive(Clone, Copy)]
pub struct Timings {
    pub decode: Duration,
    pub encode: Duration,
    pub segment: Duration,
}

/// Pictures that were written for one input.
#[derive(Default)]
pub struct Files {
    overlay: Option<PathBuf>,
    masks: Vec<PathBuf>,
}

/// Writes the masks at the picture's size and one overlay.
pub fn write_pictures(
    answered: &Answered,
    input: &Input,
    folder: &Path,
) -> Result<Files, CliError> {
    let (width, height) = answered.image.dimensions();
    let masks: Vec<Vec<u8>> =
        answered.predictions.iter().map(|prediction| prediction.mask.to_bytes(255)).collect();
    let mut files = Files::default();
    for (number, mask) in masks.iter().enumerate() {
        let path = folder.join(format!("{}_mask{}.png", input.name, number + 1));
        let picture = DynamicImage::ImageLuma8(mask_png(mask, width, height)?);
        write_png_atomic(&path, &picture)?;
        files.masks.push(path);
    }
    let items: Vec<_> = answered
        .predictions
        .iter()
        .zip(&masks)
        .map(|(prediction, mask)| OverlayItem {
            caption: &prediction.expression,
            mask: Some(mask),
            rejected: prediction.rejected,
        })
        .collect();
    let overlay = DynamicImage::ImageRgb8(draw_overlay(&answered.image, &items)?);
    let path = folder.join(format!("{}_overlay.png", input.name));
    write_png_atomic(&path, &overlay)?;
    files.overlay = Some(path);
    Ok(files)
}

/// The probabilities of everything that was asked, picture by picture.
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
            let full = |_| "too many scores to hold in memory; ask for fewer pictures at a time";
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
    device: String,
    dtype: String,
    checkpoint: String,
    load: Duration,
    images: Vec<Value>,
}

impl Report {
    pub fn new(segmenter: &Segmenter, checkpoint: &Path, load: Duration) -> Self {
        let device = segmenter.device();
        let name = match device.id.as_str() {
            "cpu" => "cpu".to_string(),
            id => format!("{id} ({})", device.name),
        };
        Self {
            device: name,
            dtype: segmenter.model().dtype().name().to_string(),
            checkpoint: checkpoint.display().to_string(),
            load,
            images: Vec::new(),
        }
    }

    pub fn headline(&self) -> String {
        let Self { device, dtype, checkpoint, load, .. } = self;
        format!("{checkpoint} on {device} in {dtype}, loaded in {:.1} s", load.as_secs_f64())
    }

    /// Notes a picture's answers and returns the lines to print.
    pub fn add(&mut self, path: &Path, answered: &Answered, files: Files) -> String {
        let mut lines = vec![format!("{}", path.display())];
        let masks = files.masks.iter().map(Some).chain(std::iter::repeat(None));
        let mut results = Vec::new();
        for (prediction, mask) in answered.predictions.iter().zip(masks) {
            lines.push(line_of(prediction, mask.map(PathBuf::as_path)));
            results.push(json_of(prediction, mask.map(PathBuf::as_path)));
        }
        if let Some(said) = &answered.said {
            lines.push(format!("  the model said: {said}"));
        }
        if let Some(overlay) = &files.overlay {
            lines.push(format!("  overlay: {}", overlay.display()));
        }
        let Timings { decode, encode, segment } = answered.timings;
        self.images.push(json!({
            "image": path.display().to_string(),
            "width": answered.image.width(),
            "height": answered.image.height(),
            "results": results,
            "answer": answered.said,
            "overlay": files.overlay.map(|path| path.display().to_string()),
            "timings": {
                "decode_s": decode.as_secs_f64(),
                "encode_s": encode.as_secs_f64(),
                "segment_s": segment.as_secs_f64(),
            },
        }));
        lines.join("\n")
    }

    pub fn json(&self) -> Value {
        json!({
            "checkpoint": self.checkpoint,
            "device": self.device,
            "dtype": self.dtype,
            "load_s": self.load.as_secs_f64(),
            "images": self.images,
        })
    }
}

/// The answer in a few words.
pub fn finding(prediction: &MaskPrediction) -> String {
    match prediction.bounding_box {
        _ if prediction.rejected => "not in the picture".to_string(),
        None => "empty mask".to_string(),
        Some([x0, y0, x1, y1]) => {
            format!("box {x0},{y0} to {x1},{y1}, score {:.3}", prediction.score)
        }
    }
}

fn line_of(prediction: &MaskPrediction, mask: Option<&Path>) -> String {
    let (expression, finding) = (&prediction.expression, finding(prediction));
    match mask {
        Some(mask) => format!("  {expression}: {finding}, {}", mask.display()),
        None => format!("  {expression}: {finding}"),
    }
}

/// The answer for programs, with the file of its mask.
pub fn json_of(prediction: &MaskPrediction, mask: Option<&Path>) -> Value {
    json!({
        "expression": prediction.expression,
        "rejected": prediction.rejected,
        "score": prediction.score,
        "box": prediction.bounding_box,
        "area": prediction.mask.area(),
        "segmentation": prediction.rle(),
        "mask": mask.map(|path| path.display().to_string()),
    })
}
