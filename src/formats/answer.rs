//! Answers as JSON: what a server sends, and what the model in a page gives its script.

use std::collections::BTreeSet;
use std::io::Cursor;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use image::codecs::png::PngEncoder;
use image::{GrayImage, ImageError};
use mllmseg_data::mask::Rle;
use mllmseg_data::mask::outline::outlines;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use strum::EnumString;

use super::coco::CocoFile;
use super::polygon::polygons_json;
use super::svg::{SvgLayer, svg_document};
use crate::overlay::{colour_code, mask_image};
use crate::segmenter::{ActivationMap, MaskPrediction};

/// How a mask is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, EnumString)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum AnswerFormat {
    /// COCO's compressed run lengths.
    #[default]
    Rle,
    /// Outer rings and holes in pixels.
    Polygon,
    /// A drawing of the image's size.
    Svg,
    /// A grey PNG in base64: 255 inside.
    Png,
    /// One annotation file for all expressions.
    Coco,
}

/// The answer to one expression; the mask is encoded, since many may wait to be sent.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "as in MaskPrediction")]
pub struct Found {
    pub expression: String,
    pub rejected: bool,
    pub score: f32,
    pub bounding_box: Option<[u32; 4]>,
    pub rle: Rle,
}

impl From<MaskPrediction> for Found {
    fn from(found: MaskPrediction) -> Self {
        let rle = found.rle();
        let MaskPrediction { expression, rejected, score, bounding_box, .. } = found;
        Self { expression, rejected, score, bounding_box, rle }
    }
}

/// `results`, one for each expression, and for [`AnswerFormat::Coco`] the file, as `coco`. `name` is the
/// image's; the tolerance of outlines is in pixels.
///
/// # Errors
/// If a PNG cannot be written.
pub fn results_json(
    name: &str,
    size: (u32, u32),
    found: &[Found],
    format: AnswerFormat,
    tolerance: f64,
) -> Result<Map<String, Value>, ImageError> {
    let results = found.iter().enumerate();
    let results = results.map(|(index, found)| result_json(index, found, size, format, tolerance));
    let results = results.collect::<Result<Vec<_>, _>>()?;
    let mut json = Map::from_iter([("results".to_string(), results.into())]);
    if format == AnswerFormat::Coco {
        let mut file = CocoFile::default();
        let image = file.add_image(name, size);
        let mut seen = BTreeSet::new();
        for found in found.iter().filter(|found| seen.insert(&found.expression)) {
            let mask = found.rle.to_bitmap();
            file.add_mask(image, &found.expression, &mask, found.score, tolerance);
        }
        json.insert("coco".into(), file.json());
    }
    Ok(json)
}

fn result_json(
    index: usize,
    found: &Found,
    (width, height): (u32, u32),
    format: AnswerFormat,
    tolerance: f64,
) -> Result<Value, ImageError> {
    let mut json = json!({
        "expression": found.expression,
        "rejected": found.rejected,
        "score": found.score,
        "box": found.bounding_box,
        "area": found.rle.area(),
    });
    let parts = || outlines(&found.rle.to_bitmap(), tolerance);
    match format {
        AnswerFormat::Rle => json["segmentation"] = json!(found.rle),
        AnswerFormat::Polygon => json["polygons"] = polygons_json(&parts()),
        AnswerFormat::Svg => {
            let (title, colour) = (found.expression.as_str(), colour_code(index));
            let layer = SvgLayer { title, parts: &parts(), colour };
            json["svg"] = svg_document(width, height, &[layer]).into();
        }
        AnswerFormat::Png => json["png"] = png_base64(mask_image(&found.rle.to_bitmap()))?.into(),
        AnswerFormat::Coco => {}
    }
    Ok(json)
}

/// The activation maps, each a PNG of one pixel a token.
///
/// # Errors
/// If a PNG cannot be written.
pub fn maps_json(maps: &[ActivationMap]) -> Result<Value, ImageError> {
    let map = |map: &ActivationMap| {
        Ok(json!({
            "name": map.name,
            "origin": map.origin,
            "side": map.side,
            "range": map.range(),
            "png": png_base64(map.to_grey())?,
        }))
    };
    Ok(maps.iter().map(map).collect::<Result<Vec<_>, ImageError>>()?.into())
}

fn png_base64(image: GrayImage) -> Result<String, ImageError> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_with_encoder(PngEncoder::new(&mut bytes))?;
    Ok(BASE64_STANDARD.encode(bytes.into_inner()))
}
