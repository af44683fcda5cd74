//! Answers as JSON, in the format that was asked for.

use std::collections::BTreeSet;
use std::io::Cursor;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use image::codecs::png::PngEncoder;
use image::{GrayImage, ImageError};
use mllmseg_data::mask::outline::outlines;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use strum::EnumString;

use super::worker::{Answer, EncodedImage, Found, Times};
use crate::formats::{CocoFile, SvgLayer, polygons_json, svg_document};
use crate::overlay::{colour_code, mask_image};
use crate::segmenter::ActivationMap;

/// How a mask is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, EnumString)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Format {
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

/// A body of JSON.
pub fn json_response(status: StatusCode, value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// The image of an answer, and its times.
pub fn image_json(image: &EncodedImage, times: &Times) -> Map<String, Value> {
    let seconds = json!({
        "queue_s": times.queue.as_secs_f64(),
        "decode_s": times.decode.as_secs_f64(),
        "encode_s": times.encode.as_secs_f64(),
        "segment_s": times.segment.as_secs_f64(),
    });
    Map::from_iter([
        ("image_id".into(), image.id.clone().into()),
        ("width".into(), image.width.into()),
        ("height".into(), image.height.into()),
        ("bytes".into(), image.bytes.into()),
        ("cached".into(), image.cached.into()),
        ("timings".into(), seconds),
    ])
}

/// The answer to some expressions.
///
/// # Errors
/// If a PNG cannot be written.
pub fn answer_json(answer: &Answer, format: Format, tolerance: f64) -> Result<Value, ImageError> {
    let mut json = image_json(&answer.image, &answer.times);
    let results = answer.found.iter().enumerate();
    let results =
        results.map(|(index, found)| result_json(index, found, &answer.image, format, tolerance));
    json.insert("results".into(), results.collect::<Result<Vec<_>, _>>()?.into());
    if format == Format::Coco {
        let mut file = CocoFile::default();
        let EncodedImage { id, width, height, .. } = &answer.image;
        let image = file.add_image(id, (*width, *height));
        let mut seen = BTreeSet::new();
        for found in answer.found.iter().filter(|found| seen.insert(&found.expression)) {
            let mask = found.rle.to_bitmap();
            file.add_mask(image, &found.expression, &mask, found.score, tolerance);
        }
        json.insert("coco".into(), file.json());
    }
    Ok(json.into())
}

fn result_json(
    index: usize,
    found: &Found,
    image: &EncodedImage,
    format: Format,
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
        Format::Rle => json["segmentation"] = json!(found.rle),
        Format::Polygon => json["polygons"] = polygons_json(&parts()),
        Format::Svg => {
            let (title, colour) = (found.expression.as_str(), colour_code(index));
            let layer = SvgLayer { title, parts: &parts(), colour };
            json["svg"] = svg_document(image.width, image.height, &[layer]).into();
        }
        Format::Png => json["png"] = png_base64(mask_image(&found.rle.to_bitmap()))?.into(),
        Format::Coco => {}
    }
    Ok(json)
}

/// The activation maps, each a PNG of one pixel a token.
///
/// # Errors
/// If a PNG cannot be written.
pub fn maps_json(answer: &Answer) -> Result<Value, ImageError> {
    let map = |map: &ActivationMap| {
        Ok(json!({
            "name": map.name,
            "origin": map.origin,
            "side": map.side,
            "range": map.range(),
            "png": png_base64(map.to_grey())?,
        }))
    };
    let maps = answer.maps.iter().map(map).collect::<Result<Vec<_>, ImageError>>()?;
    let mut json = image_json(&answer.image, &answer.times);
    json.insert("maps".into(), maps.into());
    Ok(json.into())
}

fn png_base64(image: GrayImage) -> Result<String, ImageError> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_with_encoder(PngEncoder::new(&mut bytes))?;
    Ok(BASE64_STANDARD.encode(bytes.into_inner()))
}
