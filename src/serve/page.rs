//! The page and its files, and the description of the API, inside the binary.

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::error::ApiError;

/// Everything from here, nothing from elsewhere.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' blob: data:; connect-src 'self'; form-action 'none'; base-uri 'none'; \
     frame-ancestors 'none'";

/// Name, type and content.
const FILES: [(&str, &str, &[u8]); 5] = [
    ("page.css", "text/css; charset=utf-8", include_bytes!("page/page.css")),
    ("page.js", "text/javascript; charset=utf-8", include_bytes!("page/page.js")),
    ("backend.js", "text/javascript; charset=utf-8", include_bytes!("page/backend.js")),
    ("mask.js", "text/javascript; charset=utf-8", include_bytes!("page/mask.js")),
    ("example.png", "image/png", include_bytes!("../../examples/scene.png")),
];

/// `GET /`.
pub async fn index() -> Response {
    answer("text/html; charset=utf-8", include_bytes!("page/index.html"))
}

/// `GET /page/{file}`.
pub async fn file(Path(name): Path<String>) -> Result<Response, ApiError> {
    let file = FILES.iter().find(|(file, ..)| *file == name);
    let missing = || ApiError::new(StatusCode::NOT_FOUND, "NOT_FOUND", "no such file of the page");
    file.map(|(_, kind, content)| answer(kind, content)).ok_or_else(missing)
}

/// `GET /openapi.json`.
pub async fn openapi() -> Response {
    answer("application/json", include_bytes!("openapi.json"))
}

fn answer(kind: &'static str, content: &'static [u8]) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], content).into_response()
}
