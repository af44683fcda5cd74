//! Bodies, received within bounds of size, time and total memory.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};
use tokio::time::timeout;

use super::error::ApiError;
use super::state::Context;

/// A whole body, and its share of the bound on all bodies.
pub struct Received {
    pub bytes: Bytes,
    pub permit: OwnedSemaphorePermit,
    pub headers: HeaderMap,
}

/// Receives a body.
pub async fn receive(context: &Context, request: Request) -> Result<Received, ApiError> {
    let limits = &context.options.limits;
    let (parts, body) = request.into_parts();
    let too_large = || {
        let limit = limits.body >> 20;
        ApiError::too_large(format!("the body is larger than {limit} MiB; scale the image down"))
    };
    let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let length = length.map(|text| text.parse::<u64>().unwrap_or(u64::MAX));
    let length = length.map_or(limits.body as u64, |length| length);
    if length > limits.body as u64 {
        return Err(too_large());
    }
    let kib = (length >> 10) as u32 + 1;
    let permit = context.bodies.clone().try_acquire_many_owned(kib);
    let permit = permit.map_err(|error| match error {
        TryAcquireError::NoPermits => {
            ApiError::busy("too many images are being received; try again")
        }
        TryAcquireError::Closed => ApiError::busy("the server ends"),
    })?;
    let slow = |_| {
        let message = "the body did not arrive in time; check the connection";
        ApiError::new(StatusCode::REQUEST_TIMEOUT, "TOO_SLOW", message)
    };
    let bytes = timeout(limits.receive, axum::body::to_bytes(body, limits.body)).await;
    let bytes = bytes.map_err(slow)?.map_err(|error| {
        let mut source: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = source {
            if error.to_string().contains("length limit exceeded") {
                return too_large();
            }
            source = error.source();
        }
        ApiError::bad_request("the body ended before it was whole; send it again")
    })?;
    Ok(Received { bytes, permit, headers: parts.headers })
}

impl Received {
    /// Whether the body is of this type.
    pub fn is(&self, content_type: &str) -> bool {
        let value = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| value.trim_start().to_ascii_lowercase().starts_with(content_type))
    }

    /// The body as JSON. The type must be said: a page of another origin cannot say it unasked.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        if !self.is("application/json") {
            return Err(unsupported("application/json"));
        }
        serde_json::from_slice(&self.bytes).map_err(|error| {
            let message = format!("the body is not the JSON that is expected here: {error}");
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "BAD_JSON", message)
        })
    }

    /// The parts of a form: names and contents.
    pub async fn form(&self) -> Result<Vec<(String, Bytes)>, ApiError> {
        let damaged = |error: &dyn std::fmt::Display| {
            ApiError::bad_request(format!("the multipart form cannot be read: {error}"))
        };
        let mut request = Request::new(Body::from(self.bytes.clone()));
        *request.headers_mut() = self.headers.clone();
        let form = Multipart::from_request(request, &()).await;
        let mut form = form.map_err(|error| damaged(&error))?;
        let mut parts = Vec::new();
        while let Some(field) = form.next_field().await.map_err(|error| damaged(&error))? {
            let name = field.name().unwrap_or_default().to_string();
            parts.push((name, field.bytes().await.map_err(|error| damaged(&error))?));
        }
        Ok(parts)
    }
}

pub fn unsupported(expected: &str) -> ApiError {
    let message = format!("expected a body of type {expected}; set Content-Type");
    ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "WRONG_TYPE", message)
}

/// The bytes of a data URI, or of bare base64.
pub fn decode_data_uri(text: &str) -> Result<Bytes, ApiError> {
    let encoded = match text.split_once(',') {
        Some((head, data)) if head.starts_with("data:") && head.ends_with(";base64") => data,
        Some(_) => return Err(ApiError::invalid_image("expected data:image/...;base64,...")),
        None => text,
    };
    let bytes = BASE64_STANDARD.decode(encoded.trim()).map_err(|error| {
        ApiError::invalid_image(format!("the image is not base64 ({error}); encode its file"))
    })?;
    Ok(bytes.into())
}
