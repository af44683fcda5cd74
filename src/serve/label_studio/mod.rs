//! Label Studio's ML backend: `/setup`, `/predict`, `/webhook` (and `/health`).

mod brush;
mod config;
mod picture;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use mllmseg_data::mask::outline::{Outline, outlines};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::json_response;
use super::ask::{Question, ask, check_expressions, image_id};
use super::body::receive;
use super::error::ApiError;
use super::state::{Context, Shared};
use super::worker::Answer;
use crate::formats::Found;
use brush::encode_brush;
use config::{Control, LabelConfig};
use picture::fetch;

/// `POST /setup`.
pub async fn setup(State(context): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let _: Value = receive(&context, request).await?.json()?;
    let json = json!({ "model_version": version(&context) });
    Ok(json_response(StatusCode::OK, &json))
}

/// `POST /webhook`: nothing is learnt here.
pub async fn webhook(
    State(context): State<Shared>,
    request: Request,
) -> Result<Response, ApiError> {
    let _: Value = receive(&context, request).await?.json()?;
    Ok(json_response(StatusCode::OK, &json!({})))
}

fn version(context: &Context) -> String {
    format!("mllmseg {} ({})", env!("CARGO_PKG_VERSION"), context.model.name)
}

#[derive(Deserialize)]
struct PredictRequest {
    tasks: Vec<TaskRequest>,
    label_config: String,
    #[serde(default)]
    params: Params,
}

#[derive(Deserialize)]
struct TaskRequest {
    data: Map<String, Value>,
}

#[derive(Default, Deserialize)]
struct Params {
    context: Option<Value>,
}

/// `POST /predict`: one list of regions for each task; empty lists where no words were typed.
pub async fn predict(
    State(context): State<Shared>,
    request: Request,
) -> Result<Response, ApiError> {
    let asked: PredictRequest = receive(&context, request).await?.json()?;
    let limit = context.options.limits.expressions;
    if asked.tasks.len() > limit {
        let found = asked.tasks.len();
        return Err(ApiError::too_large(format!("{found} tasks, but at most {limit} are taken")));
    }
    let config = LabelConfig::parse(&asked.label_config).map_err(ApiError::bad_request)?;
    let words = words(asked.params.context.as_ref());
    let mut results = Vec::new();
    for task in &asked.tasks {
        let (regions, score) = match words.is_empty() {
            true => (Vec::new(), 0.0),
            false => predict_task(&context, &config, task, words.clone()).await?,
        };
        results
            .push(json!({ "result": regions, "score": score, "model_version": version(&context) }));
    }
    Ok(json_response(StatusCode::OK, &json!({ "results": results })))
}

/// What was typed into a `TextArea`: one expression a line.
fn words(context: Option<&Value>) -> Vec<String> {
    let results = context.and_then(|context| context["result"].as_array());
    let mut texts =
        results.into_iter().flatten().filter_map(|result| match &result["value"]["text"] {
            Value::String(text) => Some(text.clone()),
            Value::Array(texts) => texts.first().and_then(Value::as_str).map(str::to_string),
            _ => None,
        });
    let text = texts.next_back().unwrap_or_default();
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_string).collect()
}

async fn predict_task(
    context: &Shared,
    config: &LabelConfig,
    task: &TaskRequest,
    words: Vec<String>,
) -> Result<(Vec<Value>, f32), ApiError> {
    let picture = task.data.get(&config.image_key).and_then(Value::as_str).ok_or_else(|| {
        let key = &config.image_key;
        ApiError::bad_request(format!("the task has no text {key:?} (named by <Image>)"))
    })?;
    let expressions = check_expressions(context, words)?;
    let file = fetch(context, picture.to_string()).await?;
    let id = image_id(&file);
    let question = Question { id, file: Some(file), expressions, ..Question::default() };
    let answer = ask(context, question).await?;
    let found: Vec<_> = answer.found.iter().filter(|found| !found.rejected).collect();
    let score = found.iter().map(|found| found.score).fold(0.0, f32::max);
    let regions = found.iter().flat_map(|found| regions(&answer, config, found)).collect();
    Ok((regions, score))
}

/// A mask as the configuration labels it.
fn regions(answer: &Answer, config: &LabelConfig, found: &Found) -> Vec<Value> {
    let mask = found.rle.to_bitmap();
    let (width, height) = (answer.image.width, answer.image.height);
    let label = config.label_for(&found.expression);
    let region = |value: Value| {
        json!({
            "type": config.control.kind(),
            "from_name": config.from_name,
            "to_name": config.to_name,
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "score": found.score,
            "meta": { "text": [found.expression] },
            "value": value,
        })
    };
    match config.control {
        _ if mask.is_empty() => Vec::new(),
        Control::Brush => {
            vec![region(
                json!({ "format": "rle", "rle": encode_brush(&mask), "brushlabels": [label] }),
            )]
        }
        Control::Polygon => {
            let percent = |part: &Outline| {
                let share = |place: u32, side: u32| 100.0 * f64::from(place) / f64::from(side);
                let ring = part.joined();
                let points = ring.iter().map(|&[x, y]| [share(x, width), share(y, height)]);
                points.collect::<Vec<_>>()
            };
            let parts = outlines(&mask, 1.0);
            let values = parts.iter().map(
                |part| json!({ "points": percent(part), "closed": true, "polygonlabels": [label] }),
            );
            values.map(region).collect()
        }
    }
}
