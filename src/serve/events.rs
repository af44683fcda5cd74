//! Progress as server-sent events: `stage` as often as there is one, then `result` or `error`.

use std::convert::Infallible;

use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::ask::{Question, dropped, failed, submit, too_late};
use super::error::ApiError;
use super::state::Shared;
use super::worker::{Answer, Update};

/// Whether a client asks for events.
pub fn wanted(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}

/// Asks, and tells what happens; `write` makes the JSON of the answer.
pub fn stream(
    context: Shared,
    question: Question,
    write: impl Fn(&Answer) -> Result<Value, ApiError> + Send + 'static,
) -> Result<Response, ApiError> {
    let mut updates = submit(&context, question)?;
    let (events, receiver) = unbounded_channel();
    tokio::spawn(async move {
        let told = async {
            while let Some(update) = updates.recv().await {
                let (name, value) = match update {
                    Update::Stage(stage) => ("stage", json!({ "stage": stage })),
                    Update::Done(result) => {
                        let written = result.map_err(|failure| failed(&failure));
                        let written =
                            tokio::task::spawn_blocking(move || written.and_then(|x| write(&x)));
                        let written = written.await.unwrap_or_else(|_| Err(too_late()));
                        return end(&events, written);
                    }
                };
                // Dropping `updates` tells the worker that nobody waits.
                if send(&events, name, &value).is_err() {
                    return;
                }
            }
            end(&events, Err(dropped()));
        };
        if timeout(context.options.limits.answer, told).await.is_err() {
            end(&events, Err(too_late()));
        }
    });
    let events = UnboundedReceiverStream::new(receiver).map(Ok::<_, Infallible>);
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

fn end(events: &UnboundedSender<Event>, result: Result<Value, ApiError>) {
    let sent = match result {
        Ok(value) => send(events, "result", &value),
        Err(error) => send(events, "error", &error.json()),
    };
    let _ = sent; // who asked may have gone
}

fn send(events: &UnboundedSender<Event>, name: &str, value: &Value) -> Result<(), ()> {
    events.send(Event::default().event(name).data(value.to_string())).map_err(drop)
}
