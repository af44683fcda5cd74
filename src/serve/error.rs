//! What goes wrong: at the start, and with a request.

use std::net::SocketAddr;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use thiserror::Error;

/// Why there is no server.
#[derive(Debug, Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its fields hold")]
pub enum ServeError {
    /// Others could ask without a token.
    #[error(
        "{0} can be reached from other machines: set a token (--token or MLLMSEG_TOKEN), bind to 127.0.0.1, \
         or take --insecure"
    )]
    NoToken(SocketAddr),
    /// A token that no header can carry.
    #[error("the token must be 1 to 256 visible ASCII characters without spaces; choose another")]
    BadToken,
    /// Not an origin.
    #[error("--allow-origin {0:?}: expected scheme and host, such as https://labels.example:8080")]
    BadOrigin(String),
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source}; choose another address with --bind")]
    Bind { address: SocketAddr, source: std::io::Error },
    /// The operating system refuses threads or timers.
    #[error("the server cannot start: {0}")]
    Runtime(#[from] std::io::Error),
}

/// A request that is not answered, as JSON with a status.
///
/// The form is that of all tools at once: `error.code` and `error.message`, `success: false`, and
/// `detail`.
#[derive(Debug, Clone)]
pub struct ApiError {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// A request that is wrong in itself.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", message)
    }

    pub fn invalid_image(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "INVALID_IMAGE", message)
    }

    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", message)
    }

    pub fn busy(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "BUSY", message)
    }

    /// The body, for answers of another form too.
    pub fn json(&self) -> serde_json::Value {
        json!({
            "success": false,
            "error": { "code": self.code, "message": self.message },
            "detail": self.message,
        })
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = super::answer::json_response(self.status, &self.json());
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }
}
