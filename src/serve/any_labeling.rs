//! X-AnyLabeling's Remote-Server: the stock application needs this server's address and nothing else.
//!
//! Its errors are answers with status 200 and `success: false`, but for requests that are no such request.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use mllmseg_data::mask::outline::{Outline, outlines};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::json_response;
use super::ask::{Question, ask, check_expressions, image_id};
use super::body::{decode_data_uri, receive};
use super::clock;
use super::error::ApiError;
use super::state::{Context, Shared};
use crate::formats::Found;

/// The one model's id.
const MODEL: &str = "mllmseg";
/// Tolerance of polygons as a share of the outline's length, where none is said.
const EPSILON: f64 = 0.001;

/// `GET /health`; Label Studio asks it too, and looks at the status alone.
pub async fn health() -> Response {
    let json = json!({
        "status": "healthy",
        "models_loaded": 1,
        "timestamp": clock::now(),
        "model_class": "mllmseg",
    });
    json_response(StatusCode::OK, &json)
}

/// `GET /v1/models`.
pub async fn models(State(context): State<Shared>) -> Response {
    json_response(StatusCode::OK, &json!({ "success": true, "data": { MODEL: about(&context) } }))
}

/// `GET /v1/models/{id}/info`.
pub async fn model_info(State(context): State<Shared>, Path(id): Path<String>) -> Response {
    if id != MODEL {
        return refused(&unknown_model(&id));
    }
    let mut data = about(&context);
    data["model_id"] = id.into();
    json_response(StatusCode::OK, &json!({ "success": true, "data": data }))
}

fn about(context: &Context) -> Value {
    json!({
        "display_name": format!("MLLMSeg ({})", context.model.name),
        "widgets": [
            { "name": "edit_text", "value": null },
            { "name": "button_send", "value": null },
            { "name": "edit_conf", "value": 0.5 },
            { "name": "mask_fineness_slider", "value": null },
            { "name": "toggle_preserve_existing_annotations", "value": false },
        ],
        "params": { "conf_threshold": 0.5, "epsilon_factor": EPSILON },
        "capabilities": ["text_prompt"],
        "batch_processing_mode": "text_prompt",
    })
}

#[derive(Deserialize)]
struct PredictRequest {
    #[serde(default)]
    model: String,
    image: String,
    #[serde(default)]
    params: Params,
}

/// Those that mean something to this model; others are left aside.
#[derive(Default, Deserialize)]
struct Params {
    #[serde(default)]
    text_prompt: String,
    conf_threshold: Option<f64>,
    epsilon_factor: Option<f64>,
    show_boxes: Option<bool>,
    show_masks: Option<bool>,
}

/// `POST /v1/predict`.
pub async fn predict(
    State(context): State<Shared>,
    request: Request,
) -> Result<Response, ApiError> {
    let received = receive(&context, request).await?;
    let asked: PredictRequest = received.json()?;
    let answered = async {
        if !asked.model.is_empty() && asked.model != MODEL {
            return Err(unknown_model(&asked.model));
        }
        let expressions = check_expressions(&context, prompts(&asked.params.text_prompt))?;
        let file = decode_data_uri(&asked.image)?;
        // The slider is at 0 until it is moved; everything would be foreground.
        let threshold = asked.params.conf_threshold.filter(|threshold| *threshold > 0.0);
        let threshold = threshold.map(|threshold| threshold as f32);
        let (id, permit) = (image_id(&file), Some(received.permit));
        let question =
            Question { id, file: Some(file), permit, expressions, threshold, maps: false };
        ask(&context, question).await
    };
    match answered.await {
        Ok(answer) => {
            let found = answer.found.iter().enumerate();
            let shapes = found.flat_map(|(index, found)| shapes(index, found, &asked.params));
            let shapes: Vec<Value> = shapes.collect();
            let rejected = answer.found.iter().filter(|found| found.rejected);
            let rejected: Vec<_> =
                rejected.map(|found| format!("{}: not in the picture", found.expression)).collect();
            let data = json!({ "shapes": shapes, "description": rejected.join("\n") });
            Ok(json_response(StatusCode::OK, &json!({ "success": true, "data": data })))
        }
        Err(error) if error.status == StatusCode::SERVICE_UNAVAILABLE => Err(error),
        Err(error) => Ok(refused(&error)),
    }
}

/// One prompt a line where there are lines, so that an expression may hold a comma; else separated by
/// commas, else by full stops. Empty and repeated ones fall away.
fn prompts(text: &str) -> Vec<String> {
    let separator = ['\n', ',', '.'].into_iter().find(|separator| text.trim().contains(*separator));
    let mut prompts: Vec<String> = Vec::new();
    for prompt in text.split(separator.unwrap_or('\n')).map(str::trim) {
        if !prompt.is_empty() && !prompts.iter().any(|other| other == prompt) {
            prompts.push(prompt.to_string());
        }
    }
    prompts
}

/// A closed polygon for each part, holes reached by cuts; the parts of one mask share a group.
fn shapes(index: usize, found: &Found, params: &Params) -> Vec<Value> {
    let mask = found.rle.to_bitmap();
    let shape = |kind: &str, mut points: Vec<[u32; 2]>| {
        if kind == "polygon" {
            points.extend(points.first().copied()); // closed by its first point
        }
        let points: Vec<_> = points.iter().map(|point| point.map(f64::from)).collect();
        json!({
            "label": found.expression,
            "shape_type": kind,
            "points": points,
            "score": found.score,
            "group_id": index + 1,
            "description": found.expression,
            "difficult": false,
            "flags": {},
            "attributes": {},
        })
    };
    let mut shapes = Vec::new();
    if params.show_masks.unwrap_or(true) {
        let epsilon = params.epsilon_factor.unwrap_or(EPSILON).clamp(0.0, 1.0);
        // The share is of each outline's own length; the longest stands for all parts of the mask.
        let longest = outlines(&mask, 0.0).iter().map(length).max().unwrap_or(0);
        let tolerance = epsilon * longest as f64;
        let parts = outlines(&mask, tolerance);
        shapes.extend(parts.iter().map(|part| shape("polygon", part.joined())));
    }
    if params.show_boxes.unwrap_or(false)
        && let Some([left, top, right, bottom]) = found.bounding_box
    {
        let corners = vec![[left, top], [right, top], [right, bottom], [left, bottom]];
        shapes.push(shape("rectangle", corners));
    }
    shapes
}

/// Of the outer ring, in pixels.
fn length(part: &Outline) -> u64 {
    let ring = &part.outer;
    let sides = ring.iter().zip(ring.iter().cycle().skip(1));
    sides.map(|(a, b)| u64::from(a[0].abs_diff(b[0])) + u64::from(a[1].abs_diff(b[1]))).sum()
}

fn unknown_model(id: &str) -> ApiError {
    let message = format!("no model {id:?} here; expected {MODEL:?}");
    ApiError::new(StatusCode::NOT_FOUND, "MODEL_NOT_FOUND", message)
}

/// An error as the application expects it.
fn refused(error: &ApiError) -> Response {
    let mut error = error.clone();
    if error.status.is_server_error() || error.code == "BAD_REQUEST" {
        error.code = "INFERENCE_ERROR";
    }
    json_response(StatusCode::OK, &error.json()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_prompts_stand_in_one_text() {
        assert_eq!(prompts("the dog, the cat, the dog,"), ["the dog", "the cat"]);
        assert_eq!(prompts("the dog. the cat."), ["the dog", "the cat"]);
        assert_eq!(prompts("the man, who waits\nthe dog\n"), ["the man, who waits", "the dog"]);
        assert_eq!(prompts("the dog"), ["the dog"]);
        assert!(prompts(" ,, ").is_empty());
    }
}
