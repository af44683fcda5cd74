//! A checked question, handed to the worker, and its answer.

use std::time::Instant;

use axum::body::Bytes;
use axum::http::StatusCode;
use mllmseg_data::prompt::check_expression;
use ring::digest::{SHA256, digest};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::timeout;

use super::error::ApiError;
use super::queue::Refused;
use super::state::Context;
use super::worker::{Answer, Failure, Job, Task, Update};

/// What one request asks.
#[derive(Default)]
pub struct Question {
    pub id: String,
    pub file: Option<Bytes>,
    pub permit: Option<OwnedSemaphorePermit>,
    pub expressions: Vec<String>,
    pub threshold: Option<f32>,
    pub maps: bool,
}

/// An image's id: the same file has the same, so it is encoded once.
pub fn image_id(file: &[u8]) -> String {
    digest(&SHA256, file).as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Expressions without white space around them, checked as the model will need them.
pub fn check_expressions(
    context: &Context,
    expressions: Vec<String>,
) -> Result<Vec<String>, ApiError> {
    let limits = &context.options.limits;
    if expressions.is_empty() {
        return Err(ApiError::bad_request("expected at least one expression"));
    }
    if expressions.len() > limits.expressions {
        let (found, most) = (expressions.len(), limits.expressions);
        let message = format!("{found} expressions, but at most {most} are taken; ask in parts");
        return Err(ApiError::too_large(message));
    }
    let check = |expression: String| {
        if expression.len() > limits.expression {
            let (found, most) = (expression.len(), limits.expression);
            let message = format!("an expression of {found} bytes, but at most {most} are taken");
            return Err(ApiError::too_large(message));
        }
        let expression = expression.trim().to_string();
        check_expression(&context.tokenizer, &expression)
            .map_err(|error| ApiError::bad_request(error.to_string()))?;
        Ok(expression)
    };
    expressions.into_iter().map(check).collect()
}

/// Hands a question to the worker. Who drops the receiver is not answered.
pub fn submit(
    context: &Context,
    question: Question,
) -> Result<UnboundedReceiver<Update>, ApiError> {
    let threshold = question.threshold.unwrap_or(context.threshold);
    if !(0.0..=1.0).contains(&threshold) {
        let message = format!("threshold: expected a number from 0 to 1, found {threshold}");
        return Err(ApiError::bad_request(message));
    }
    let (updates, receiver) = unbounded_channel();
    let Question { id, file, permit, expressions, maps, .. } = question;
    let arrived = Instant::now();
    let job = Job { id, file, expressions, threshold, maps, updates, arrived, _bytes: permit };
    push(context, Task::Ask(job))?;
    Ok(receiver)
}

fn push(context: &Context, task: Task) -> Result<(), ApiError> {
    context.queue.push(task).map_err(|refused| match refused {
        Refused::Full => ApiError::busy("the queue is full; try again in some seconds"),
        Refused::Closed => ApiError::busy("the server ends"),
    })
}

/// The answer to a question, without its stages.
pub async fn ask(context: &Context, question: Question) -> Result<Answer, ApiError> {
    let mut updates = submit(context, question)?;
    let end = async {
        while let Some(update) = updates.recv().await {
            if let Update::Done(result) = update {
                return result.map_err(|failure| failed(&failure));
            }
        }
        Err(dropped())
    };
    timeout(context.options.limits.answer, end).await.unwrap_or_else(|_| Err(too_late()))
}

/// Drops an image, and says whether it was kept.
pub async fn forget(context: &Context, id: String) -> Result<bool, ApiError> {
    let (reply, forgotten) = oneshot::channel();
    push(context, Task::Forget(id, reply))?;
    forgotten.await.map_err(|_| dropped())
}

/// Who waited was not answered.
pub fn dropped() -> ApiError {
    ApiError::busy("the server ends, or failed at this request; try again")
}

pub fn too_late() -> ApiError {
    ApiError::busy("no answer in time; ask for less, or later")
}

/// A failure of the worker, as a client hears of it.
pub fn failed(failure: &Failure) -> ApiError {
    let message = failure.to_string();
    match failure {
        Failure::NotKept(_) => ApiError::new(StatusCode::NOT_FOUND, "IMAGE_NOT_FOUND", message),
        Failure::Image(_) => ApiError::invalid_image(message),
        Failure::Model(_) | Failure::Panicked(_) => {
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "INFERENCE_ERROR", message)
        }
    }
}
