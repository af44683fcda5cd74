//! The table of routes, and what surrounds all of them.

use std::any::Any;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde_json::json;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;

use super::error::ApiError;
use super::state::Shared;
use super::{any_labeling, clock, guard, images, label_studio, page};

/// Everything that the server answers. `openapi.json` describes the same routes; a test compares them.
pub fn router(context: Shared) -> Router {
    let origins = &context.options.allow_origins;
    let origins: Vec<HeaderValue> =
        origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    let cors = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([
            header::CONTENT_TYPE,
            header::AUTHORIZATION,
            HeaderName::from_static("token"),
        ]);
    Router::new()
        .route("/", get(page::index))
        .route("/page/{file}", get(page::file))
        .route("/openapi.json", get(page::openapi))
        .route("/metrics", get(metrics))
        .route("/health", get(any_labeling::health))
        .route("/v1/info", get(images::info))
        .route("/v1/images", post(images::add))
        .route("/v1/images/{id}", delete(images::remove))
        .route("/v1/images/{id}/segment", post(images::segment))
        .route("/v1/images/{id}/maps", get(images::maps))
        .route("/v1/segment", post(images::add_and_segment))
        .route("/v1/models", get(any_labeling::models))
        .route("/v1/models/{id}/info", get(any_labeling::model_info))
        .route("/v1/predict", post(any_labeling::predict))
        .route("/setup", post(label_studio::setup))
        .route("/predict", post(label_studio::predict))
        .route("/webhook", post(label_studio::webhook))
        .fallback(async || {
            ApiError::new(StatusCode::NOT_FOUND, "NOT_FOUND", "no such route; see /openapi.json")
        })
        .method_not_allowed_fallback(async || {
            let message = "this route does not know the method; see /openapi.json";
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message)
        })
        .layer(from_fn_with_state(context.clone(), guard::check))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(cors)
        .layer(from_fn_with_state(context.clone(), observe))
        .with_state(context)
}

/// Counts and logs a request, and adds the headers of every answer.
async fn observe(State(context): State<Shared>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_string());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_string());
    let mut response = next.run(request).await;
    let status = response.status().as_u16();
    context.metrics.request(route.as_deref().unwrap_or("none"), status);
    (context.options.log)(&json!({
        "time": clock::now(),
        "level": if status < 500 { "info" } else { "error" },
        "method": method.as_str(),
        "path": path.chars().take(200).collect::<String>(),
        "status": status,
        "seconds": start.elapsed().as_secs_f64(),
    }));
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, page::CONTENT_SECURITY_POLICY),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// `GET /metrics`.
async fn metrics(State(context): State<Shared>) -> Response {
    let text = context.metrics.text(context.queue.len());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

fn panicked(_: Box<dyn Any + Send>) -> hyper::Response<Body> {
    let message = "the request failed by a mistake of the server, which goes on; please report it";
    let error = ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", message);
    error.into_response()
}
