//! Who may ask: the token, the `Host` against DNS rebinding, the `Origin` against other pages.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{SHA256, digest};

use super::error::ApiError;
use super::options::ServeOptions;
use super::state::Shared;

/// The cookie that the page's own requests bring.
const COOKIE: &str = "mllmseg_token";
/// Bytes of the longest token.
pub const MAX_TOKEN: usize = 256;

/// Refuses what may not ask, and gives a browser that opens `/?token=...` its cookie.
pub async fn check(State(context): State<Shared>, request: Request, next: Next) -> Response {
    let options = &context.options;
    let (headers, uri) = (request.headers(), request.uri());
    if let Err(error) = check_host(options, headers).and_then(|()| check_origin(options, headers)) {
        return error.into_response();
    }
    if let Some(token) = &options.token {
        if request.method() == Method::GET
            && uri.path() == "/"
            && let Some(query) = uri.query()
            && query.strip_prefix("token=").is_some_and(|given| is_same(given, token))
        {
            return with_cookie(token);
        }
        // Tools ask it before they know of a token, and it says nothing.
        if uri.path() != "/health" && !given_tokens(headers).any(|given| is_same(&given, token)) {
            let message =
                "a token is needed: Authorization: Bearer TOKEN; in a browser open /?token=TOKEN";
            let error = ApiError::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message);
            return error.into_response();
        }
    }
    next.run(request).await
}

/// A page of another site can point its own name at this machine's loopback; its browser then still
/// says that name. (An address that others reach is theirs to name.)
fn check_host(options: &ServeOptions, headers: &HeaderMap) -> Result<(), ApiError> {
    if !options.bind.ip().is_loopback() {
        return Ok(());
    }
    let host = header_text(headers, header::HOST).unwrap_or_default();
    let name = host_name(host);
    let local = ["localhost", "127.0.0.1", "[::1]"].contains(&name)
        || name == options.bind.ip().to_string()
        || options.allow_origins.iter().any(|origin| authority(origin) == host);
    match local {
        true => Ok(()),
        false => Err(forbidden(format!(
            "Host {host:?} is not this server: it answers localhost and 127.0.0.1, and what --allow-origin names"
        ))),
    }
}

/// Browsers name the page that asks; only the server's own may, and those that were allowed.
fn check_origin(options: &ServeOptions, headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or("null");
    let host = header_text(headers, header::HOST).unwrap_or_default();
    let own = !host.is_empty() && origin != "null" && authority(origin) == host;
    if own || options.allow_origins.iter().any(|allowed| allowed == origin) {
        return Ok(());
    }
    Err(forbidden(format!("pages of {origin:?} may not ask; --allow-origin {origin} lets them")))
}

fn forbidden(message: String) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "FORBIDDEN", message)
}

fn header_text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// What follows the scheme.
fn authority(origin: &str) -> &str {
    origin.split_once("://").map_or(origin, |(_, authority)| authority)
}

/// A host without its port.
fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name, // not inside "[::1]"
        _ => host,
    }
}

/// `scheme://host[:port]` and nothing else.
pub fn is_origin(text: &str) -> bool {
    let uri = text.parse::<Uri>().ok();
    uri.is_some_and(|uri| {
        let web = matches!(uri.scheme_str(), Some("http" | "https"));
        web && HeaderValue::from_str(text).is_ok() && text.matches('/').count() == 2
    })
}

/// The tokens of `Authorization` (bearer, or the password of basic), `Token` (X-AnyLabeling) and the
/// cookie.
fn given_tokens(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let authorization = header_text(headers, header::AUTHORIZATION).and_then(|text| {
        let (scheme, value) = text.split_once(' ')?;
        match scheme.to_ascii_lowercase().as_str() {
            "bearer" | "token" => Some(value.trim().to_string()),
            "basic" => {
                let decoded = String::from_utf8(BASE64_STANDARD.decode(value.trim()).ok()?).ok()?;
                Some(decoded.split_once(':')?.1.to_string())
            }
            _ => None,
        }
    });
    let plain = headers.get("token").and_then(|value| value.to_str().ok()).map(str::to_string);
    let cookies = header_text(headers, header::COOKIE).unwrap_or_default().split("; ");
    let cookies = cookies.filter_map(|cookie| cookie.strip_prefix(COOKIE)?.strip_prefix('='));
    let cookies: Vec<_> = cookies.map(str::to_string).collect();
    authorization.into_iter().chain(plain).chain(cookies)
}

/// Compares hashes, so that the time tells nothing of the token.
fn is_same(given: &str, token: &str) -> bool {
    let hash = |text: &str| digest(&SHA256, text.as_bytes());
    hash(given).as_ref() == hash(token).as_ref()
}

fn with_cookie(token: &str) -> Response {
    let mut response = Redirect::to("/").into_response();
    let cookie = format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_origins_are_taken_apart() {
        assert_eq!(host_name("localhost:8000"), "localhost");
        assert_eq!(host_name("[::1]:8000"), "[::1]");
        assert_eq!(host_name("[::1]"), "[::1]");
        assert_eq!(host_name("evil.example"), "evil.example");
        assert!(is_origin("https://labels.example:8080"));
        for wrong in ["labels.example", "https://labels.example/", "ftp://x", "*", "https://a b"] {
            assert!(!is_origin(wrong), "{wrong}");
        }
    }
}
