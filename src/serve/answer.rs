//! Answers of the API as JSON.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use image::ImageError;
use serde_json::{Map, Value, json};

use super::worker::{Answer, EncodedImage, Times};
use crate::formats::{self, AnswerFormat, results_json};

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
pub fn answer_json(
    answer: &Answer,
    format: AnswerFormat,
    tolerance: f64,
) -> Result<Value, ImageError> {
    let Answer { image, found, times, .. } = answer;
    let mut json = image_json(image, times);
    let size = (image.width, image.height);
    json.extend(results_json(&image.id, size, found, format, tolerance)?);
    Ok(json.into())
}

/// The activation maps.
///
/// # Errors
/// If a PNG cannot be written.
pub fn maps_json(answer: &Answer) -> Result<Value, ImageError> {
    let mut json = image_json(&answer.image, &answer.times);
    json.insert("maps".into(), formats::maps_json(&answer.maps)?);
    Ok(json.into())
}
