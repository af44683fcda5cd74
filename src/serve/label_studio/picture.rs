//! A task's picture: inside the task, or on the Label Studio that was named at the start. No other host is
//! ever asked, and no file of this machine is read.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{StatusCode, Uri};
use ureq::Agent;

use crate::serve::body::decode_data_uri;
use crate::serve::error::ApiError;
use crate::serve::options::LabelStudioHost;
use crate::serve::state::Shared;

/// The picture's file.
pub async fn fetch(context: &Shared, place: String) -> Result<Bytes, ApiError> {
    if place.starts_with("data:") {
        return decode_data_uri(&place);
    }
    let Some(host) = context.options.label_studio.clone() else {
        let message = "pictures are fetched from Label Studio only: set LABEL_STUDIO_URL and \
                       LABEL_STUDIO_API_KEY where `mllmseg serve` starts";
        return Err(ApiError::bad_request(message));
    };
    let url = url_on(&host, &place)?;
    let (limit, time) = (context.options.limits.body as u64, context.options.limits.receive);
    let fetched = tokio::task::spawn_blocking(move || get(&url, &host.key, limit, time)).await;
    fetched.unwrap_or_else(|_| Err("the request stopped".into())).map_err(|reason| {
        let message = format!("Label Studio did not give {place:?}: {reason}");
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "INVALID_IMAGE", message)
    })
}

/// A path, or an address with the scheme, host and port of the one that was named.
fn url_on(host: &LabelStudioHost, place: &str) -> Result<String, ApiError> {
    if place.starts_with('/') && !place.starts_with("//") {
        return Ok(format!("{}{place}", host.url.trim_end_matches('/')));
    }
    let origin = |url: &str| {
        let uri = url.parse::<Uri>().ok()?;
        Some((uri.scheme_str()?.to_string(), uri.authority()?.as_str().to_ascii_lowercase()))
    };
    match origin(place) {
        Some(found) if Some(&found) == origin(&host.url).as_ref() => Ok(place.to_string()),
        _ => {
            let message = format!("{place:?} is not on {}; no other host is asked", host.url);
            Err(ApiError::bad_request(message))
        }
    }
}

fn get(url: &str, key: &str, limit: u64, time: Duration) -> Result<Bytes, String> {
    // A redirect could lead to another host.
    let agent = Agent::config_builder().timeout_global(Some(time)).max_redirects(0);
    let agent = agent.max_redirects_will_error(true).build().new_agent();
    let request = agent.get(url).header("Authorization", format!("Token {key}"));
    let mut response = request.call().map_err(|error| error.to_string())?;
    let body = response.body_mut().with_config().limit(limit).read_to_vec();
    body.map(Bytes::from).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_host_is_asked() {
        let host = LabelStudioHost { url: "http://ls.example:8080/".into(), key: String::new() };
        let ours = "http://ls.example:8080/data/upload/1/x.png";
        assert_eq!(url_on(&host, "/data/upload/1/x.png").unwrap(), ours);
        assert_eq!(url_on(&host, ours).unwrap(), ours);
        for other in [
            "http://ls.example:8081/x",
            "https://ls.example:8080/x",
            "http://ls.example:8080@evil.example/x",
            "http://evil.example/x",
            "//evil.example/x",
            "file:///etc/passwd",
            "etc/passwd",
            "",
        ] {
            assert!(url_on(&host, other).is_err(), "{other}");
        }
    }
}
