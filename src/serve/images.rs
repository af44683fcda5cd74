//! Our own API: images, questions about them, maps.

use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use super::answer::{answer_json, image_json, json_response, maps_json};
use super::ask::{Question, ask, check_expressions, forget, image_id};
use super::body::{Received, decode_data_uri, receive, unsupported};
use super::error::ApiError;
use super::events;
use super::state::{Context, Shared};
use super::worker::Answer;
use crate::formats::AnswerFormat;

/// Largest tolerance of outlines, in pixels.
const MAX_TOLERANCE: f64 = 1_000.0;

/// `POST /v1/images/{id}/segment`, and beside an image `POST /v1/segment`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SegmentRequest {
    /// A data URI or bare base64; only of `/v1/segment`.
    image: Option<String>,
    #[serde(default)]
    expressions: Vec<String>,
    #[serde(default)]
    format: AnswerFormat,
    threshold: Option<f32>,
    #[serde(default)]
    tolerance: f64,
}

/// `POST /v1/images`: encodes an image and keeps it.
pub async fn add(State(context): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let received = receive(&context, request).await?;
    let (file, _) = image_and_fields(&received).await?;
    let question = question_of(file, received.permit);
    let write = |answer: &Answer| Ok(image_json(&answer.image, &answer.times).into());
    respond(context, &received.headers, question, write).await
}

/// `POST /v1/images/{id}/segment`.
pub async fn segment(
    State(context): State<Shared>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let received = receive(&context, request).await?;
    let asked: SegmentRequest = received.json()?;
    if asked.image.is_some() {
        return Err(ApiError::bad_request("image: not here; send it to /v1/segment"));
    }
    let question = Question { id, ..Question::default() };
    ask_expressions(context, &received.headers, asked, question).await
}

/// `POST /v1/segment`: both in one.
pub async fn add_and_segment(
    State(context): State<Shared>,
    request: Request,
) -> Result<Response, ApiError> {
    let received = receive(&context, request).await?;
    let (file, asked) = if received.is("application/json") {
        let mut asked: SegmentRequest = received.json()?;
        let image = asked.image.take();
        let image = image.ok_or_else(|| ApiError::bad_request("image: missing"))?;
        (decode_data_uri(&image)?, asked)
    } else if received.is("multipart/form-data") {
        let (file, fields) = image_and_fields(&received).await?;
        (file, request_of(&fields)?)
    } else {
        return Err(unsupported("multipart/form-data or application/json"));
    };
    let question = question_of(file, received.permit);
    ask_expressions(context, &received.headers, asked, question).await
}

/// `GET /v1/images/{id}/maps`.
pub async fn maps(
    State(context): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let question = Question { id, maps: true, ..Question::default() };
    respond(context, &headers, question, |answer| maps_json(answer).map_err(unwritten)).await
}

/// `DELETE /v1/images/{id}`.
pub async fn remove(
    State(context): State<Shared>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    match forget(&context, id.clone()).await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => {
            let message = format!("no image {id} is kept here (any more); nothing is to be done");
            Err(ApiError::new(StatusCode::NOT_FOUND, "IMAGE_NOT_FOUND", message))
        }
    }
}

/// `GET /v1/info`: what the page shows.
pub async fn info(State(context): State<Shared>) -> Response {
    let Context { options, model, .. } = &*context;
    let json = json!({
        "name": "mllmseg",
        "version": env!("CARGO_PKG_VERSION"),
        "model": model.name,
        "device": model.device,
        "dtype": model.dtype,
        "notice": options.notice,
        "limits": {
            "body_bytes": options.limits.body,
            "pixels": options.limits.pixels,
            "expressions": options.limits.expressions,
        },
    });
    json_response(StatusCode::OK, &json)
}

async fn ask_expressions(
    context: Shared,
    headers: &HeaderMap,
    asked: SegmentRequest,
    question: Question,
) -> Result<Response, ApiError> {
    let SegmentRequest { expressions, format, threshold, tolerance, .. } = asked;
    if !(0.0..=MAX_TOLERANCE).contains(&tolerance) {
        let message = format!("tolerance: expected 0 to {MAX_TOLERANCE} pixels, found {tolerance}");
        return Err(ApiError::bad_request(message));
    }
    let expressions = check_expressions(&context, expressions)?;
    let question = Question { expressions, threshold, ..question };
    let write = move |answer: &Answer| answer_json(answer, format, tolerance).map_err(unwritten);
    respond(context, headers, question, write).await
}

/// Asks, and answers as JSON or, where wanted, as events.
async fn respond(
    context: Shared,
    headers: &HeaderMap,
    question: Question,
    write: impl Fn(&Answer) -> Result<Value, ApiError> + Send + 'static,
) -> Result<Response, ApiError> {
    if events::wanted(headers) {
        return events::stream(context, question, write);
    }
    let answer = ask(&context, question).await?;
    // Outlines of large masks take a while.
    let written = tokio::task::spawn_blocking(move || write(&answer)).await;
    let json = written.map_err(unwritten).flatten()?;
    Ok(json_response(StatusCode::OK, &json))
}

fn unwritten(error: impl std::fmt::Display) -> ApiError {
    let message = format!("the answer cannot be written: {error}");
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", message)
}

fn question_of(file: Bytes, permit: OwnedSemaphorePermit) -> Question {
    let id = image_id(&file);
    Question { id, file: Some(file), permit: Some(permit), ..Question::default() }
}

/// The image of a form or of a bare body, and the other parts of the form.
async fn image_and_fields(received: &Received) -> Result<(Bytes, Vec<(String, Bytes)>), ApiError> {
    let (file, fields) = if received.is("multipart/form-data") {
        let mut fields = received.form().await?;
        let place = fields.iter().position(|(name, _)| name == "image");
        let place = place.ok_or_else(|| ApiError::bad_request("the form has no part `image`"))?;
        (fields.remove(place).1, fields)
    } else if received.is("image/") || received.is("application/octet-stream") {
        (received.bytes.clone(), Vec::new())
    } else {
        return Err(unsupported("image/* (a file) or multipart/form-data with a part `image`"));
    };
    match file.is_empty() {
        true => Err(ApiError::invalid_image("the image is empty; send the bytes of its file")),
        false => Ok((file, fields)),
    }
}

/// The fields of a form: `expression` as often as there are some, or one JSON list `expressions`.
fn request_of(fields: &[(String, Bytes)]) -> Result<SegmentRequest, ApiError> {
    let mut asked = SegmentRequest::default();
    for (name, value) in fields {
        let wrong = |what: &str| ApiError::bad_request(format!("{name}: expected {what}"));
        let text = str::from_utf8(value).map_err(|_| wrong("UTF-8"))?;
        match name.as_str() {
            "expression" => asked.expressions.push(text.into()),
            "expressions" => {
                let list: Vec<String> =
                    serde_json::from_str(text).map_err(|_| wrong("a JSON list of strings"))?;
                asked.expressions.extend(list);
            }
            "format" => {
                asked.format = text.parse().map_err(|_| wrong("rle, polygon, svg, png or coco"))?;
            }
            "threshold" => {
                asked.threshold = Some(text.parse().map_err(|_| wrong("a number from 0 to 1"))?);
            }
            "tolerance" => asked.tolerance = text.parse().map_err(|_| wrong("a number"))?,
            _ => return Err(ApiError::bad_request(format!("{name}: no such field"))),
        }
    }
    Ok(asked)
}
